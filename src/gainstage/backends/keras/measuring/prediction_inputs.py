"""What prediction asks of a model and of its inputs."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from gainstage.backends.keras.measuring.moments import moments_of
from gainstage.backends.keras.models.batch import prepare, values_of
from gainstage.backends.keras.models.layout import canonical
from gainstage.backends.keras.models.names import named_parameters
from gainstage.backends.keras.tracing.call import channel_axis
from gainstage.errors import GainstageError, InputError
from gainstage.graph import Operation, Parameter, SignalGraph
from gainstage.propagation import InputMoments
from gainstage.records import WeightMoments

__all__ = ["in_training", "input_moments", "placeholder", "version", "weight_moments"]

_SAMPLE = 4_000_000  # elements of an input are enough for its moments


def weight_moments(model: Any, graph: SignalGraph, only: Container[str] | None = None) -> dict[str, WeightMoments]:
    """What prediction needs to know of the values that the weights hold.

    Args:
        model: a built Keras model or layer.
        graph: its trace, which says how every weight is used.
        only: paths of the weights to look at; all by default.

    >>> from gainstage.backends.keras import trace
    >>> layer = keras.layers.Dense(2, use_bias=False, kernel_initializer="ones")
    >>> graph = trace(layer, np.ones((3, 4)))
    >>> weight_moments(layer, graph)["kernel"].row_sum_square
    16.0
    """
    variables = named_parameters(model)[0]
    asked = {path: v for path, v in variables.items() if only is None or path in only}
    arrays = {path: _wide(values_of(v)) for path, v in asked.items() if "float" in str(v.dtype)}
    sums: dict[str, np.ndarray[Any, Any]] = {}
    found: dict[str, WeightMoments] = {}
    for parameter in graph.parameters:
        array = arrays.get(parameter.path)
        if array is None:
            continue
        moments = moments_of(array)
        known = WeightMoments(moments.mean, moments.second_moment)
        if parameter.kernel is not None and array.ndim >= 2:
            try:
                incoming = canonical(array, parameter.kernel, parameter.blocks, parameter.layout)
            except GainstageError:  # a weight that is used otherwise than it is stored
                incoming = None
            if incoming is not None:
                rows = sums[parameter.path] = incoming.sum((1, 2), dtype=np.float64)
                square, mean = float(np.square(rows).mean()), float(rows.mean())
                known = replace(known, row_sum_square=square, row_sum_mean=mean, kurtosis=_kurtosis(array))
        if array.ndim == 2 and any(graph.nodes[i].operation is Operation.EMBEDDING for i in parameter.nodes):
            known = replace(known, table_mean_square=float(np.square(array.mean(0, dtype=np.float64)).mean()))
        found[parameter.path] = _by_gate(graph, parameter, array) or known
    for path, rows in sums.items():
        for index in graph.parameter(path).nodes:
            for use in graph.nodes[index].uses_of("bias"):
                bias = arrays.get(use.parameter)
                if bias is not None and use.parameter in found and bias.size == rows.size:
                    product = float((bias.astype(np.float64).reshape(-1) * rows).mean())
                    found[use.parameter] = replace(found[use.parameter], row_sum_product=product)
    return found


def _by_gate(graph: SignalGraph, parameter: Parameter, array: np.ndarray[Any, Any]) -> WeightMoments | None:
    """What a recurrent layer's bias adds in every gate, in the order of theory; None for every other parameter.

    A GRU that resets after its weights has a bias for the input and one for the state, one a row: their sum counts.
    """
    for index in parameter.nodes:
        node = graph.nodes[index]
        added = {use.parameter for use in node.uses_of("bias")}
        if node.operation is not Operation.RECURRENT or parameter.path not in added:
            continue
        siblings = [graph.parameter(u.parameter) for u in node.uses_of("weight")]
        blocks = max((s.blocks for s in siblings if _together(s, parameter)), default=1)
        values = array.astype(np.float64).reshape(-1, array.shape[-1]).sum(0)
        if blocks == 1 or values.size % blocks or node.function == "mixed":
            return None
        gates = values.reshape(blocks, -1)
        if node.function == "gru":  # Keras: update, reset, new
            gates = gates[[1, 0, 2]]
        means, variances = gates.mean(1).tolist(), gates.var(1).tolist()
        return WeightMoments(
            float(values.mean()), float(np.square(values).mean()), block_means=tuple(means),
            block_variances=tuple(variances),
        )  # fmt: skip
    return None


def _together(first: Parameter, second: Parameter) -> bool:
    """Whether two weights are of one layer."""
    return first.path.rpartition(".")[0] == second.path.rpartition(".")[0]


def _kurtosis(array: np.ndarray[Any, Any]) -> float:
    """E w⁴ / (E w²)², of evenly spaced values where there are many."""
    flat = array.reshape(-1)
    squares = np.square(flat[:: max(flat.size // _SAMPLE, 1)].astype(np.float64))
    level = float(squares.mean())
    return float(np.square(squares).mean()) / level**2 if level > 0 else 3.0


def _wide(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def placeholder(model: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:  # noqa: ARG001
    """An input of that shape without memory.

    Raises:
        InputError: a size is not positive.
    """
    if not shape or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in shape):
        raise InputError(f"input_shape is the shape of an input with the batch, e.g. (32, 224, 224, 3); got {shape}.")
    return np.broadcast_to(np.float32(0.0), shape)


def input_moments(model: Any, inputs: Any) -> tuple[InputMoments, ...]:  # noqa: ARG001
    """Moments of every input of a batch; standard ones for tokens.

    Raises:
        InputError: values that are not finite.
    """
    found = []
    for array in prepare(inputs).arrays:
        if array.dtype.kind != "f":
            found.append(InputMoments())
            continue
        part = array
        if part.size > _SAMPLE and len(part) > 2:
            part = part[: max(2, len(part) * _SAMPLE // part.size)]
        if not np.isfinite(part).all():
            raise InputError(f"The input of shape {array.shape} holds NaN or infinite values.")
        found.append(InputMoments.of(part, channel_axis(None, part.ndim) if part.ndim > 1 else None))
    return tuple(found)


def in_training(model: Any) -> bool:  # noqa: ARG001
    """Keras's models have no mode: they are looked at as if they were to train."""
    return True


def version() -> str:
    """Keras, its version, and what it runs on."""
    return f"keras {keras.__version__} on {keras.config.backend()}"
