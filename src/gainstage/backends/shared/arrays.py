"""Moments of NumPy arrays: labels of every framework, and all that Keras computes in the processor's memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.backends.shared.moments import Reductions

__all__ = ["look_at", "magnitudes_of", "moments_of", "token_correlation", "unit_stats"]

Array = NDArray[Any]


class _Arrays(Reductions):
    def prepared(self, values: Any) -> Array:
        array = np.asarray(values)
        if array.dtype.kind == "c":
            array = np.stack([array.real, array.imag], -1)
        return np.ascontiguousarray(array, dtype=None if array.dtype in (np.float32, np.float64) else np.float32)

    def size(self, array: Array) -> int:
        return array.size

    def wide(self, array: Array) -> NDArray[np.float64]:
        return array.astype(np.float64)

    def squares(self, flat: Array, *, wide: bool = False) -> float:
        flat = flat.astype(np.float64) if wide else flat
        with np.errstate(all="ignore"):
            return float(np.dot(flat, flat))

    def finite(self, flat: Array) -> int:
        return int(np.isfinite(flat).sum())

    def extremes(self, flat: Array) -> tuple[float, float]:
        return float(flat.min()), float(flat.max())

    def nonzero(self, array: Array) -> int:
        return int(np.count_nonzero(array))

    def as_numpy(self, flat: Array) -> NDArray[np.float64]:
        return flat.astype(np.float64)


_ARRAYS = _Arrays()
look_at, moments_of = _ARRAYS.look_at, _ARRAYS.moments_of
magnitudes_of = _ARRAYS.magnitudes_of
token_correlation, unit_stats = _ARRAYS.token_correlation, _ARRAYS.unit_stats
