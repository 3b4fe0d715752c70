"""Statistics of the weights themselves: moments, copied units, constant arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.backends.keras.models.layout import canonical
from gainstage.backends.shared.arrays import moments_of
from gainstage.backends.shared.weights import bias_beside, projection, repeated
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
        beside = bias_beside(graph, parameter, len(rows), lambda path: arrays[path].size)
        copies = _copies(rows, arrays[beside].reshape(-1) if beside is not None else None)
    gradient_moments = moments_of(gradient) if gradient is not None else None
    return ParameterProfile(parameter.path, weight, gradient_moments, copies, constant, unit_spread, update)


def _copies(rows: Array, bias: Array | None) -> int:
    """The number of units whose incoming weights and bias repeat another unit's."""
    count, size = rows.shape
    if count < 2 or not np.isfinite(rows).all():
        return 0
    first, second = repeated(rows @ projection(size), float(np.linalg.norm(rows, axis=1).max()), size)
    same = (rows[first] == rows[second]).all(1)
    if bias is not None:
        same &= bias[first] == bias[second]
    return int(same.sum())
