"""Moments of arrays, in NumPy.

Arrays of all of Keras's backends are read where they lie in the processor's memory. One mean over the examples and one
dot product give mean, variance, second moment, the share of variance across examples, dead units and the correlation
of examples. Where single precision would over- or underflow, or cancel, the reduction is repeated in double precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.records import Moments, UnitStats

__all__ = ["Look", "look_at", "moments_of", "token_correlation", "unit_stats"]

Array = NDArray[Any]

_UNDERFLOW = 1e-30  # below this a float32 sum of squares has lost digits
_CANCELLATION = 1e-3  # a variance this small a part of the second moment is taken again, centred


@dataclass(frozen=True, slots=True)
class Look:
    """One array as ``(examples, inner)``, examples being the slowest axis.

    Args:
        values: float32 or float64.
        moments: of all elements.
        example_mean: mean over examples, ``(inner,)``; None where examples cannot be told apart.
    """

    values: Array
    moments: Moments
    example_mean: Array | None


def _prepared(values: Any) -> Array:
    array = np.asarray(values)
    if array.dtype.kind == "c":
        array = np.stack([array.real, array.imag], -1)
    return np.ascontiguousarray(array, dtype=None if array.dtype in (np.float32, np.float64) else np.float32)


def _square_sum(flat: Array) -> float:
    """Σx², in double precision where single would over- or underflow."""
    with np.errstate(all="ignore"):
        total = float(np.dot(flat, flat))
        if not _UNDERFLOW * flat.size < total < math.inf and flat.dtype == np.float32:
            wide = flat.astype(np.float64)
            total = float(np.dot(wide, wide))
    return total


def moments_of(values: Any, *, extremes: bool = False) -> Moments:
    """Moments over all elements, without a look at the examples.

    >>> moments_of(np.array([1.0, 3.0])).variance
    1.0
    """
    return _moments(_prepared(values).reshape(-1), extremes=extremes)


def _moments(flat: Array, *, extremes: bool, mean: float | None = None) -> Moments:
    count = flat.size
    if count == 0:
        return Moments(0, 0.0, 0.0, 0.0)
    with np.errstate(all="ignore"):
        mean = float(flat.mean()) if mean is None else mean
        second = _square_sum(flat) / count
        nonfinite = 0
        if not math.isfinite(mean):
            nonfinite = count - int(np.isfinite(flat).sum())
            if nonfinite == 0:
                mean = float(flat.mean(dtype=np.float64))
        variance = second - mean * mean
        if variance < _CANCELLATION * second and nonfinite == 0:
            variance = _square_sum(flat - flat.dtype.type(mean)) / count
        low = high = None
        if extremes:
            low, high = float(flat.min()), float(flat.max())
    return Moments(count, mean, variance, second, nonfinite, low, high)


def look_at(values: Any, examples: int, *, leading: bool, extremes: bool = True) -> Look:
    """Moments with the share of variance across examples.

    Args:
        values: any shape.
        examples: how many there are.
        leading: whether they are the slowest axis (or its slowest part).
        extremes: also the smallest and the largest element.
    """
    array = _prepared(values)
    if not leading or examples < 2 or array.size % examples or not array.size:
        moments = _moments(array.reshape(-1), extremes=extremes)
        return Look(array.reshape(1, -1), moments, None)
    array = array.reshape(examples, -1)
    with np.errstate(all="ignore"):
        mean = array.mean(0)
        moments = _moments(array.reshape(-1), extremes=extremes, mean=float(mean.mean(dtype=np.float64)))
        share = None
        if moments.finite and moments.variance > 0:
            within = moments.second_moment - float(np.square(mean, dtype=np.float64).mean())
            if within < _CANCELLATION * moments.second_moment:
                within = _square_sum((array - mean).reshape(-1)) / moments.count
            within *= examples / (examples - 1)  # the mean was taken from these very examples
            share = min(within / moments.variance, 1.0) if math.isfinite(within) else None
        elif moments.finite and moments.count:
            share = 0.0
    return Look(array, replace(moments, example_share=share), mean)


def unit_stats(
    look: Look, shape: tuple[int, ...], unit_axis: int | None, *, rectified: bool, bounds: tuple[float, float] | None
) -> UnitStats:
    """What single units do over the batch.

    Args:
        look: of the node's output.
        shape: of that output.
        unit_axis: the axis of units; None counts every position as a unit.
        rectified: whether exact zeros are to be counted.
        bounds: of a bounded activation, whose saturation is to be counted.
    """
    examples, inner = look.values.shape
    units = shape[unit_axis] if unit_axis is not None and unit_axis < len(shape) else inner
    moments, zero, zero_share, saturated, stuck = look.moments, 0, None, None, None
    if look.example_mean is None:
        return UnitStats(units, max(moments.count // max(units, 1), 1), 1)
    correlation = None
    if moments.finite and moments.second_moment > 0:
        common = float(np.square(look.example_mean, dtype=np.float64).mean()) / moments.second_moment
        correlation = min((examples * common - 1) / (examples - 1), 1.0)  # rounding may exceed one
    if rectified:
        zero_share = 1.0 - np.count_nonzero(look.values) / moments.count
        if zero_share > 0:
            candidates = look.example_mean == 0
            never = candidates & (look.values == 0).all(0) if candidates.any() else candidates
            zero = _units_all(np.asarray(never), shape, unit_axis)
    if bounds is not None:
        low, high = bounds
        margin = 0.01 * (high - low)
        outside = (look.values < low + margin) | (look.values > high - margin)
        saturated = float(outside.mean())
        stuck = _units_all(np.asarray(outside.all(0)), shape, unit_axis) if saturated > 0 else 0
    return UnitStats(units, moments.count // max(units, 1), examples, zero, zero_share, saturated, stuck, correlation)


def _units_all(places: Array, shape: tuple[int, ...], unit_axis: int | None) -> int:
    """How many units have the property at every place of an example."""
    if unit_axis is None or unit_axis == 0:
        return int(places.sum())
    below = math.prod(shape[unit_axis + 1 :])
    units = shape[unit_axis]
    if places.size % (below * units):
        return 0
    return int(places.reshape(-1, units, below).all(2).all(0).sum())


def token_correlation(values: Any, second_moment: float) -> float | None:
    """Mean uncentred correlation between two positions of one example of a ``(batch, positions, units)`` array."""
    array = _prepared(values)
    positions = array.shape[1]
    if positions < 2 or not second_moment > 0:
        return None
    common = float(np.square(array.mean(1), dtype=np.float64).mean()) / second_moment
    return float(min((positions * common - 1) / (positions - 1), 1.0))
