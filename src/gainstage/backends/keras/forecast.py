"""What prediction asks of a model and of its inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from gainstage.backends.keras.batch import prepare
from gainstage.backends.keras.layout import canonical
from gainstage.backends.keras.names import named_parameters
from gainstage.backends.keras.trace import require_model
from gainstage.errors import InputError
from gainstage.graph import SignalGraph
from gainstage.records import WeightMoments
from gainstage.theory.propagation import InputMoments

__all__ = ["in_training", "input_moments", "placeholder", "version", "weight_moments"]


def weight_moments(model: Any, graph: SignalGraph) -> dict[str, WeightMoments]:
    """What prediction needs to know of the values that the weights hold.

    Args:
        model: a Keras model that is built.
        graph: its trace, which says how every weight is used.
    """
    variables, _ = named_parameters(require_model(model))
    sums: dict[str, NDArray[np.float64]] = {}
    found: dict[str, WeightMoments] = {}
    for parameter in graph.parameters:
        variable = variables.get(parameter.path)
        if variable is None or not str(variable.dtype).startswith(("float", "bfloat")):
            continue
        values = np.asarray(keras.ops.convert_to_numpy(variable.value), dtype=np.float64)
        known = WeightMoments(float(values.mean()), float((values**2).mean()))
        if parameter.kernel is not None and values.ndim >= 2:
            rows = canonical(values, parameter.kernel, parameter.blocks, parameter.layout)
            total = rows.reshape(len(rows), -1).sum(1)
            sums[parameter.path] = total
            known = replace(known, row_sum_square=float((total**2).mean()), row_sum_mean=float(total.mean()))
        found[parameter.path] = known
    for path, total in sums.items():
        for index in graph.parameter(path).nodes:
            for use in graph.nodes[index].uses_of("bias"):
                bias = variables.get(use.parameter)
                if bias is not None and use.parameter in found and np.prod(bias.shape) == total.size:
                    values = np.asarray(keras.ops.convert_to_numpy(bias.value), dtype=np.float64).reshape(-1)
                    found[use.parameter] = replace(found[use.parameter], row_sum_product=float((values * total).mean()))
    return found


def placeholder(model: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An input of that shape that takes no memory of its own.

    Raises:
        InputError: a size is not positive.
    """
    require_model(model)
    if not shape or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in shape):
        raise InputError(f"input_shape is the shape of an input with the batch, e.g. (32, 224, 224, 3); got {shape}.")
    return np.broadcast_to(np.zeros((), np.float32), shape)


def input_moments(model: Any, inputs: Any) -> tuple[InputMoments, ...]:
    """Moments of every input of a batch; standard ones for tokens."""
    require_model(model)
    found = []
    for array in prepare(inputs).arrays:
        values = np.asarray(keras.ops.convert_to_numpy(array))
        if not np.issubdtype(values.dtype, np.floating) or values.ndim == 0 or not values.size:
            found.append(InputMoments())
            continue
        if not np.isfinite(values).all():
            raise InputError(f"The input of shape {values.shape} holds NaN or infinite values.")
        first = values.ndim in (4, 5) and keras.config.image_data_format() == "channels_first"
        found.append(InputMoments.of(values, 1 if first else values.ndim - 1))
    return tuple(found)


def in_training(model: Any) -> bool:
    """A Keras model is told at every call; it is traced as it trains."""
    require_model(model)
    return True


def version() -> str:
    """The framework, its version and its backend."""
    return f"keras {keras.__version__} ({keras.backend.backend()})"
