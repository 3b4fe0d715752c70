"""What prediction needs of a PyTorch model and of its inputs."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gainstage.backends.shared import prediction_inputs as shared
from gainstage.backends.torch.measuring.moments import moments_of
from gainstage.backends.torch.measuring.weights import incoming_weights
from gainstage.backends.torch.models.batch import prepare
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.errors import InputError
from gainstage.graph import Operation, Parameter, SignalGraph
from gainstage.records import InputMoments, WeightMoments

__all__ = ["in_training", "input_moments", "placeholder", "version", "weight_moments"]


def weight_moments(
    model: nn.Module, graph: SignalGraph, only: Container[str] | None = None, *, units: bool = True
) -> dict[str, WeightMoments]:
    """Statistics of the parameters that prediction reads; those without values are left out.

    Args:
        model: the module; what is on the meta device has no values.
        graph: its trace, which says how every parameter is used.
        only: paths of the parameters to look at; all by default.
        units: whether the incoming weights of every unit are read too, which prediction needs.

    >>> from gainstage.backends.torch import trace
    >>> layer = nn.Linear(4, 2, bias=False)
    >>> _ = nn.init.ones_(layer.weight)
    >>> weight_moments(layer, trace(layer, torch.ones(3, 4)))["weight"].row_sum_square
    16.0
    """
    tensors = dict(unwrap(model).named_parameters(remove_duplicate=False))

    def read(parameter: Parameter) -> shared.Stored | None:
        tensor = tensors.get(parameter.path) if only is None or parameter.path in only else None
        if tensor is None or is_lazy(tensor) or tensor.is_meta or not tensor.is_floating_point():
            return None
        if not units and parameter.kernel is not None:
            return shared.Stored(moments_of(tensor.detach()))
        return _stored(graph, parameter, tensor.detach())

    return shared.weight_moments(graph, read)


def _stored(graph: SignalGraph, parameter: Parameter, tensor: torch.Tensor) -> shared.Stored:
    """The values of one parameter."""
    moments, flat = moments_of(tensor), tensor.reshape(-1)
    if parameter.kernel is None or tensor.dim() < 2:
        vector = flat.double().cpu().numpy()
        blocks = _blocks(graph, parameter) if tensor.dim() == 1 else 1
        return shared.Stored(moments, gates=vector.reshape(blocks, -1) if blocks > 1 else None, vector=vector)
    incoming = incoming_weights(tensor, parameter)
    rows = incoming.sum(1, dtype=torch.float64)
    sample = flat[:: max(flat.numel() // shared.SAMPLE, 1)].double()
    table = tensor.mean(0, dtype=torch.float64).cpu().numpy() if shared.is_table(graph, parameter) else None
    found = shared.Stored(moments, rows.cpu().numpy(), sample.cpu().numpy(), table)
    if parameter.role not in shared.PAIRED:
        return found
    laid = incoming.float().cpu().numpy().reshape(len(rows), -1, parameter.kernel.receptive)
    return replace(found, sums=shared.projected(laid, parameter.kernel.groups), one_tap=shared.one_tap(laid))


def _blocks(graph: SignalGraph, parameter: Parameter) -> int:
    """The number of gates that a recurrent layer's bias holds: as many as the weight beside it."""
    for index in parameter.nodes:
        node = graph.nodes[index]
        if node.operation is Operation.RECURRENT and any(u.parameter == parameter.path for u in node.uses_of("bias")):
            weights = [graph.parameter(use.parameter).blocks for use in node.uses_of("weight")]
            return max(weights, default=1)
    return 1


def placeholder(model: nn.Module, shape: tuple[int, ...]) -> torch.Tensor:
    """An input of that shape without memory.

    Raises:
        InputError: a size is not positive.
    """
    shared.require_shape(shape, (32, 3, 224, 224))
    dtype = next((p.dtype for p in unwrap(model).parameters() if p.is_floating_point()), torch.float32)
    return torch.empty(shape, device="meta", dtype=dtype)


def input_moments(model: nn.Module, inputs: Any) -> tuple[InputMoments, ...]:
    """Moments of every input of a batch; standard ones for tokens and for what holds no values."""
    found = []
    for name, tensor in prepare(inputs, unwrap(model)).tensors:
        del name
        if tensor.is_meta or not tensor.is_floating_point() or not tensor.numel() or tensor.dim() == 0:
            found.append(InputMoments())
            continue
        part = tensor.detach()
        part = part[: shared.sampled_examples(len(part), part.numel())]
        if not bool(torch.isfinite(part).all()):
            raise InputError(f"The input of shape {tuple(tensor.shape)} holds NaN or infinite values.")
        found.append(InputMoments.of(part.double().cpu().numpy()))
    return tuple(found)


def in_training(model: nn.Module) -> bool:
    """Whether the model is set to train."""
    return bool(model.training)


def version() -> str:
    """The framework and its version."""
    return f"torch {torch.__version__}"
