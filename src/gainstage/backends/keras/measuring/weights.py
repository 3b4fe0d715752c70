"""What the weights themselves say: moments, copied units, constant arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.backends.keras.measuring.moments import moments_of
from gainstage.backends.keras.models.layout import canonical
from gainstage.graph import Parameter, SignalGraph
from gainstage.records import ParameterProfile

__all__ = ["profile_parameter"]

Array = NDArray[Any]


def profile_parameter(
    graph: SignalGraph,
    parameter: Parameter,
    arrays: Mapping[str, Array],
    gradient: Any,
    update: float | None = None,
) -> ParameterProfile:
    """One parameter's values, and its gradient where there is one."""
    array = arrays[parameter.path]
    weight = moments_of(array, extremes=True)
    constant = array.size > 1 and weight.minimum == weight.maximum
    copies, unit_spread = 0, None
    if parameter.kernel is not None and array.ndim >= 2:
        rows = canonical(array, parameter.kernel, parameter.blocks, parameter.layout)
        rows = np.ascontiguousarray(rows.reshape(len(rows), -1), dtype=np.float32)
        norms = np.linalg.norm(rows, axis=1) / rows.shape[1] ** 0.5
        unit_spread = float(norms.min()), float(norms.max())
        copies = _copies(rows, _bias_of(graph, parameter, arrays, len(rows)))
    gradient_moments = moments_of(gradient) if gradient is not None else None
    return ParameterProfile(parameter.path, weight, gradient_moments, copies, constant, unit_spread, update)


def _bias_of(graph: SignalGraph, parameter: Parameter, arrays: Mapping[str, Array], units: int) -> Array | None:
    for index in parameter.nodes:
        for use in graph.nodes[index].uses_of("bias"):
            bias = arrays[use.parameter]
            if bias.size == units:
                return bias.reshape(-1)
    return None


def _copies(rows: Array, bias: Array | None) -> int:
    """Units whose incoming weights and bias repeat another unit's, found by one random projection."""
    count, size = rows.shape
    if count < 2 or not np.isfinite(rows).all():
        return 0
    direction = np.random.default_rng(0).standard_normal(size, dtype=np.float32)
    marks = rows @ direction
    # Equal rows can differ in the last bits of the product, since they may be summed in another order.
    grain = np.finfo(np.float32).eps * np.linalg.norm(rows, axis=1).max() * size**0.5 * 4
    order = np.argsort(marks)
    close = np.abs(np.diff(marks[order])) <= grain
    first, second = order[:-1][close], order[1:][close]
    same = (rows[first] == rows[second]).all(1)
    if bias is not None:
        same &= bias[first] == bias[second]
    return int(same.sum())
