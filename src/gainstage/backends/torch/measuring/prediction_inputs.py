"""What prediction asks of a model and of its inputs."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gainstage.backends.torch.measuring.moments import moments_of
from gainstage.backends.torch.measuring.weights import incoming_weights
from gainstage.backends.torch.models.batch import prepare
from gainstage.errors import InputError
from gainstage.graph import Operation, Parameter, SignalGraph
from gainstage.propagation import InputMoments
from gainstage.records import WeightMoments

__all__ = ["in_training", "input_moments", "placeholder", "version", "weight_moments"]

_SAMPLE = 4_000_000  # elements of an input are enough for its moments


def weight_moments(
    model: nn.Module, graph: SignalGraph, only: Container[str] | None = None
) -> dict[str, WeightMoments]:
    """What prediction needs to know of the values that the parameters hold; those without values are left out.

    Args:
        model: the module; what is on the meta device has no values.
        graph: its trace, which says how every parameter is used.
        only: paths of the parameters to look at; all by default.

    >>> from gainstage.backends.torch import trace
    >>> layer = nn.Linear(4, 2, bias=False)
    >>> _ = nn.init.ones_(layer.weight)
    >>> weight_moments(layer, trace(layer, torch.ones(3, 4)))["weight"].row_sum_square
    16.0
    """
    tensors = dict(model.named_parameters(remove_duplicate=False))
    sums: dict[str, torch.Tensor] = {}
    found: dict[str, WeightMoments] = {}
    for parameter in graph.parameters:
        tensor = tensors.get(parameter.path) if only is None or parameter.path in only else None
        if tensor is None or tensor.is_meta or not tensor.is_floating_point():
            continue
        moments = moments_of(tensor)
        known = WeightMoments(moments.mean, moments.second_moment)
        if parameter.kernel is not None and tensor.dim() >= 2:
            rows = incoming_weights(tensor.detach(), parameter).sum(1, dtype=torch.float64)
            sums[parameter.path] = rows
            square, mean = float(rows.square().mean()), float(rows.mean())
            known = replace(known, row_sum_square=square, row_sum_mean=mean, kurtosis=_kurtosis(tensor.detach()))
            if any(graph.nodes[index].operation is Operation.EMBEDDING for index in parameter.nodes):
                row = tensor.detach().mean(0, dtype=torch.float64)
                known = replace(known, table_mean_square=float(row.square().mean()))
        blocks = _blocks(graph, parameter) if tensor.dim() == 1 else 1
        if blocks > 1:
            gates = tensor.detach().double().reshape(blocks, -1)
            means, variances = gates.mean(1), gates.var(1, correction=0)
            known = replace(known, block_means=tuple(means.tolist()), block_variances=tuple(variances.tolist()))
        found[parameter.path] = known
    for path, rows in sums.items():
        for index in graph.parameter(path).nodes:
            for use in graph.nodes[index].uses_of("bias"):
                bias = tensors.get(use.parameter)
                if bias is not None and use.parameter in found and bias.numel() == rows.numel():
                    product = float((bias.detach().double().reshape(-1) * rows).mean())
                    found[use.parameter] = replace(found[use.parameter], row_sum_product=product)
    return found


def _kurtosis(weight: torch.Tensor) -> float:
    """E w⁴ / (E w²)², of evenly spaced values where there are many."""
    values = weight.reshape(-1)
    squares = values[:: max(values.numel() // _SAMPLE, 1)].double().square()
    level = float(squares.mean())
    return float(squares.square().mean()) / level**2 if level > 0 else 3.0


def _blocks(graph: SignalGraph, parameter: Parameter) -> int:
    """Into how many gates a bias falls: as many as the weight beside it."""
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
    if not shape or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in shape):
        raise InputError(f"input_shape is the shape of an input with the batch, e.g. (32, 3, 224, 224); got {shape}.")
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    return torch.empty(shape, device="meta", dtype=dtype)


def input_moments(model: nn.Module, inputs: Any) -> tuple[InputMoments, ...]:
    """Moments of every input of a batch; standard ones for tokens and for what holds no values."""
    found = []
    for name, tensor in prepare(inputs, model, None).tensors:
        del name
        if tensor.is_meta or not tensor.is_floating_point() or not tensor.numel() or tensor.dim() == 0:
            found.append(InputMoments())
            continue
        part = tensor.detach()
        if part.numel() > _SAMPLE and len(part) > 2:
            part = part[: max(2, len(part) * _SAMPLE // part.numel())]
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
