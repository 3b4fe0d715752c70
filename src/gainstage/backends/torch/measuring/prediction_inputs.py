"""What prediction needs of a PyTorch model and of its inputs."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from gainstage.backends.shared import prediction_inputs as shared
from gainstage.backends.torch.measuring.moments import moments_of
from gainstage.backends.torch.measuring.weights import incoming_weights
from gainstage.backends.torch.models.batch import prepare
from gainstage.errors import InputError
from gainstage.graph import Operation, Parameter, SignalGraph
from gainstage.propagation import InputMoments
from gainstage.records import Moments, WeightMoments

__all__ = ["in_training", "input_moments", "placeholder", "version", "weight_moments"]

Array = NDArray[Any]


def weight_moments(
    model: nn.Module, graph: SignalGraph, only: Container[str] | None = None
) -> dict[str, WeightMoments]:
    """Statistics of the parameters that prediction reads; those without values are left out.

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
    tensors = {
        path: tensor.detach()
        for path, tensor in model.named_parameters(remove_duplicate=False)
        if not tensor.is_meta and tensor.is_floating_point()
    }
    wanted = (path for path in tensors if only is None or path in only)
    return shared.weight_moments(graph, wanted, _Stored(tensors))


@dataclass(frozen=True, slots=True)
class _Stored:
    """The values of parameters, by path."""

    tensors: Mapping[str, torch.Tensor]

    def moments(self, path: str) -> Moments:
        return moments_of(self.tensors[path])

    def row_sums(self, parameter: Parameter) -> Array | None:
        tensor = self.tensors[parameter.path]
        if parameter.kernel is None or tensor.dim() < 2:
            return None
        return incoming_weights(tensor, parameter).sum(1, dtype=torch.float64).cpu().numpy()

    def kurtosis(self, path: str) -> float:
        values = self.tensors[path].reshape(-1)
        return shared.kurtosis_of(values[:: max(values.numel() // shared.SAMPLE, 1)].double().cpu().numpy())

    def mean_row_square(self, path: str) -> float:
        return float(self.tensors[path].mean(0, dtype=torch.float64).square().mean())

    def gates(self, graph: SignalGraph, parameter: Parameter) -> Array | None:
        blocks = _blocks(graph, parameter) if len(parameter.shape) == 1 else 1
        vector = self.vector(parameter.path)
        return vector.reshape(blocks, -1) if blocks > 1 and vector is not None else None

    def vector(self, path: str) -> Array | None:
        tensor = self.tensors.get(path)
        return None if tensor is None else tensor.double().reshape(-1).cpu().numpy()


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
