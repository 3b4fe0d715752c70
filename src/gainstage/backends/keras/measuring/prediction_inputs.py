"""What prediction needs of a Keras model and of its inputs."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from gainstage.backends.keras.models.batch import prepare, values_of
from gainstage.backends.keras.models.layout import canonical
from gainstage.backends.keras.models.names import named_parameters
from gainstage.backends.keras.tracing.call import channel_axis
from gainstage.backends.shared import prediction_inputs as shared
from gainstage.backends.shared.arrays import moments_of
from gainstage.errors import GainstageError, InputError
from gainstage.graph import Operation, Parameter, SignalGraph
from gainstage.records import InputMoments, WeightMoments

__all__ = ["in_training", "input_moments", "placeholder", "version", "weight_moments"]

Array = NDArray[Any]


def weight_moments(
    model: Any, graph: SignalGraph, only: Container[str] | None = None, *, units: bool = True
) -> dict[str, WeightMoments]:
    """Statistics of the weights that prediction reads.

    Args:
        model: a built Keras model or layer.
        graph: its trace, which says how every weight is used.
        only: paths of the weights to look at; all by default.
        units: whether the incoming weights of every unit are read too, which prediction needs.

    >>> from gainstage.backends.keras import trace
    >>> layer = keras.layers.Dense(2, use_bias=False, kernel_initializer="ones")
    >>> graph = trace(layer, np.ones((3, 4)))
    >>> weight_moments(layer, graph)["kernel"].row_sum_square
    16.0
    """
    variables = named_parameters(model)[0]

    def read(parameter: Parameter) -> shared.Stored | None:
        variable = variables.get(parameter.path) if only is None or parameter.path in only else None
        if variable is None or "float" not in str(variable.dtype):
            return None
        if not units and parameter.kernel is not None:
            return shared.Stored(moments_of(_wide(values_of(variable))))
        return _stored(graph, parameter, _wide(values_of(variable)))

    return shared.weight_moments(graph, read)


def _stored(graph: SignalGraph, parameter: Parameter, array: Array) -> shared.Stored:
    """The values of one weight."""
    moments, flat = moments_of(array), array.reshape(-1)
    table = array.mean(0, dtype=np.float64) if shared.is_table(graph, parameter) else None
    incoming = _incoming(parameter, array)
    if incoming is None:
        gates = _gates(graph, parameter, array)
        return shared.Stored(moments, mean_row=table, gates=gates, vector=flat.astype(np.float64))
    sample = flat[:: max(flat.size // shared.SAMPLE, 1)].astype(np.float64)
    found = shared.Stored(moments, incoming.sum((1, 2), dtype=np.float64), sample, table)
    if parameter.role not in shared.PAIRED or parameter.kernel is None:
        return found
    return replace(found, sums=shared.projected(incoming, parameter.kernel.groups), one_tap=shared.one_tap(incoming))


def _incoming(parameter: Parameter, array: Array) -> Array | None:
    """The weight in the canonical layout; None for a bias, or a weight that is used otherwise than it is stored."""
    if parameter.kernel is None or array.ndim < 2:
        return None
    try:
        return canonical(array, parameter.kernel, parameter.blocks, parameter.layout)
    except GainstageError:
        return None


def _gates(graph: SignalGraph, parameter: Parameter, array: Array) -> Array | None:
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
        return np.asarray(gates[[1, 0, 2]] if node.function == "gru" else gates)  # Keras: update, reset, new
    return None


def _together(first: Parameter, second: Parameter) -> bool:
    """Whether two weights are of one layer."""
    return first.path.rpartition(".")[0] == second.path.rpartition(".")[0]


def _wide(array: Array) -> Array:
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def placeholder(model: Any, shape: tuple[int, ...]) -> Array:  # noqa: ARG001
    """An input of that shape without memory.

    Raises:
        InputError: a size is not positive.
    """
    shared.require_shape(shape, (32, 224, 224, 3))
    return np.broadcast_to(np.float32(0.0), shape)


def input_moments(model: Any, inputs: Any) -> tuple[InputMoments, ...]:  # noqa: ARG001
    """Moments of every input of a batch; those of whole numbers are read by layers, never by a table.

    Raises:
        InputError: values that are not finite.
    """
    found = []
    for array in prepare(inputs).arrays:
        part = array[: shared.sampled_examples(len(array), array.size)]
        if array.dtype.kind == "b":
            found.append(InputMoments())
            continue
        part = part if part.dtype.kind == "f" else part.astype(np.float32)  # pixels; a table does not read the moments
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
