"""Moments and unit statistics, reduced where the array lives.

Few passes suffice: the mean over examples and one dot product give mean, variance, second moment, the share of variance
across examples, units that are zero for every example, and the correlation of examples. Where single precision would
over- or underflow, or cancel, the reduction is repeated in double precision. A backend supplies eight primitives.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gainstage.records import Histogram, Magnitudes, Moments, UnitStats
from gainstage.statistics import magnitudes_of

__all__ = ["Look", "Reductions"]

_UNDERFLOW = 1e-30  # below this a float32 sum of squares has lost digits
_CANCELLATION = 1e-3  # a variance this small a part of the second moment is taken again, centred
_BINS = 32
_SAMPLED = 4096  # values of a histogram: a share is then known to 1.6 points at worst (two standard errors)
_MEASURED = 65536  # values of a distribution of magnitudes: a share is then known to 0.2 points
_REACH = 4.0  # standard deviations around the mean that a histogram shows


@dataclass(frozen=True, slots=True)
class Look:
    """One array with its examples in the middle: ``(outer, examples, inner)``.

    Args:
        values: float32 or float64, contiguous, three axes.
        moments: of all elements.
        example_mean: mean over examples, ``(outer, inner)``; None where examples cannot be told apart.
    """

    values: Any
    moments: Moments
    example_mean: Any


class Reductions(ABC):
    """Statistics of a framework's arrays, which share NumPy's ``reshape``, ``mean``, ``sum``, ``all``, ``any``."""

    # -- what a backend supplies -------------------------------------------------------------------------------------

    @abstractmethod
    def prepared(self, values: Any) -> Any:
        """The values as a contiguous array of float32 or float64; complex numbers become pairs of real ones."""

    @abstractmethod
    def size(self, array: Any) -> int:
        """The number of elements."""

    @abstractmethod
    def wide(self, array: Any) -> Any:
        """The array in double precision."""

    @abstractmethod
    def squares(self, flat: Any, *, wide: bool = False) -> float:
        """Σx² of a flat array, in its own precision or in double precision."""

    @abstractmethod
    def finite(self, flat: Any) -> int:
        """The number of elements that are neither NaN nor infinite."""

    @abstractmethod
    def extremes(self, flat: Any) -> tuple[float, float]:
        """The smallest and the largest element."""

    @abstractmethod
    def nonzero(self, array: Any) -> int:
        """The number of elements that are not zero."""

    @abstractmethod
    def as_numpy(self, flat: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
        """A flat array as a NumPy array of float64."""

    # -- what follows from that --------------------------------------------------------------------------------------

    def moments_of(self, values: Any, *, extremes: bool = False) -> Moments:
        """Moments over all elements; ``extremes`` adds the smallest and the largest one."""
        return self._moments(self.prepared(values).reshape(-1), extremes=extremes)

    def look_at(self, values: Any, examples: int, stride: int | None, *, extremes: bool = True) -> Look:
        """Moments with the share of variance across examples.

        Args:
            values: any shape.
            examples: the number of examples.
            stride: elements between one example and the next; None if examples cannot be told apart.
            extremes: also the smallest and the largest element.
        """
        array = self.prepared(values)
        size = self.size(array)
        if not stride or examples < 2 or not size or size % (stride * examples):
            moments = self._moments(array.reshape(-1), extremes=extremes)
            return Look(array.reshape(1, 1, -1), moments, None)
        array = array.reshape(-1, examples, stride)
        with np.errstate(all="ignore"):
            mean = array.mean(1)
            moments = self._moments(array.reshape(-1), extremes=extremes, mean=float(mean.mean()))
            share = None
            if moments.finite and moments.variance > 0:
                within = moments.second_moment - self._mean_square(mean)
                if within < _CANCELLATION * moments.second_moment:
                    within = self._square_sum((array - mean[:, None]).reshape(-1)) / moments.count
                within *= examples / (examples - 1)  # the mean was taken from these very examples
                share = min(within / moments.variance, 1.0) if math.isfinite(within) else None
            elif moments.finite:
                share = 0.0
        return Look(array, replace(moments, example_share=share), mean)

    def histogram_of(self, look: Look) -> Histogram | None:
        """The distribution within four standard deviations of the mean; None where a value is not finite.

        An even sample stands for all values: every n-th one, with n prime to the size, so that all units and examples
        take part.
        """
        moments, flat = look.moments, look.values.reshape(-1)
        if not moments.finite or not moments.count or not math.isfinite(moments.spread):
            return None
        low, high = moments.mean - _REACH * moments.spread, moments.mean + _REACH * moments.spread
        if moments.minimum is not None and moments.maximum is not None:
            low, high = max(low, moments.minimum), min(high, moments.maximum)
        if not high > low:
            return Histogram(moments.mean, moments.mean, (min(moments.count, _SAMPLED),))
        places = (self.as_numpy(flat[:: _stride(moments.count, _SAMPLED)]) - low) * (_BINS / (high - low))
        bins = np.clip(places, 0, _BINS - 1).astype(np.intp)
        return Histogram(low, high, tuple(np.bincount(bins, minlength=_BINS).tolist()))

    def magnitudes_of(self, values: Any) -> Magnitudes:
        """The distribution of |x|, from an even sample where there are many values; the largest is that of all."""
        flat = self.prepared(values).reshape(-1)
        count = self.size(flat)
        if not count:
            return magnitudes_of([])
        bad = count - self.finite(flat)
        sample = self.as_numpy(flat[:: _stride(count, _MEASURED)])
        largest = None if bad else max(abs(end) for end in self.extremes(flat))
        return magnitudes_of(sample, count=count, largest=largest, nonfinite=bad)

    def unit_stats(
        self,
        look: Look,
        shape: tuple[int, ...],
        unit_axis: int | None,
        *,
        rectified: bool,
        bounds: tuple[float, float] | None,
    ) -> UnitStats:
        """Statistics of single units over the batch.

        Args:
            look: of the node's output.
            shape: of that output.
            unit_axis: the axis of units; None counts every position as a unit.
            rectified: whether exact zeros are counted.
            bounds: of a bounded activation, whose saturation is counted.
        """
        outer, examples, inner = look.values.shape
        units = shape[unit_axis] if unit_axis is not None and unit_axis < len(shape) else outer * inner
        moments, zero, zero_share, saturated, stuck = look.moments, 0, None, None, None
        mean = look.example_mean
        if mean is None:
            return UnitStats(units, max(moments.count // max(units, 1), 1), 1)
        correlation = None
        if moments.finite and moments.second_moment > 0:
            correlation = _correlation(self._mean_square(mean) / moments.second_moment, examples)
        if rectified:
            zero_share = 1.0 - self.nonzero(look.values) / moments.count
            if zero_share > 0:
                never = mean == 0
                never = never & (look.values == 0).all(1) if bool(never.any()) else never
                zero = _units_all(never, shape, unit_axis)
        if bounds is not None:
            low, high = bounds
            margin = 0.01 * (high - low)
            outside = (look.values < low + margin) | (look.values > high - margin)
            saturated = float(outside.sum()) / moments.count
            stuck = _units_all(outside.all(1), shape, unit_axis) if saturated > 0 else 0
        return UnitStats(
            units, moments.count // max(units, 1), examples, zero, zero_share, saturated, stuck, correlation
        )

    def token_correlation(self, values: Any, second_moment: float) -> float | None:
        """Mean uncentred correlation between two positions of one example of a ``(batch, positions, units)`` array."""
        array = self.prepared(values)
        positions = array.shape[1]
        if positions < 2 or not second_moment > 0:
            return None
        return _correlation(self._mean_square(array.mean(1)) / second_moment, positions)

    def _moments(self, flat: Any, *, extremes: bool, mean: float | None = None) -> Moments:
        count = self.size(flat)
        if count == 0:
            return Moments(0, 0.0, 0.0, 0.0)
        with np.errstate(all="ignore"):
            mean = float(flat.mean()) if mean is None else mean
            second = self._square_sum(flat) / count
            nonfinite = 0
            if not math.isfinite(mean):
                nonfinite = count - self.finite(flat)
                if nonfinite == 0:
                    mean = float(self.wide(flat).mean())
            variance = second - mean * mean
            if variance < _CANCELLATION * second and nonfinite == 0:
                variance = self._square_sum(flat - mean) / count
            low, high = self.extremes(flat) if extremes else (None, None)
        return Moments(count, mean, variance, second, nonfinite, low, high)

    def _square_sum(self, flat: Any) -> float:
        """Σx², in double precision where single precision would over- or underflow."""
        total = self.squares(flat)
        kept = _UNDERFLOW * self.size(flat) < total < math.inf
        return total if kept else self.squares(flat, wide=True)

    def _mean_square(self, array: Any) -> float:
        return float((self.wide(array) ** 2).mean())


def _stride(count: int, wanted: int) -> int:
    """The distance between sampled values, prime to their number, so that all units and examples take part."""
    step = max(count // wanted, 1)
    while math.gcd(step, count) > 1:
        step += 1
    return step


def _correlation(common: float, count: int) -> float:
    """Mean correlation of two of ``count`` values whose mean holds the share ``common`` of their second moment."""
    return min((count * common - 1) / (count - 1), 1.0)  # rounding may exceed one


def _units_all(places: Any, shape: tuple[int, ...], unit_axis: int | None) -> int:
    """The number of units that have the property at every place; ``places`` is ``(outer, inner)``."""
    if unit_axis is None:
        return int(places.sum())
    below = math.prod(shape[unit_axis + 1 :])
    outer, inner = places.shape
    if inner % (below * shape[unit_axis]) == 0:  # units lie inside one example
        return int(places.reshape(-1, shape[unit_axis], below).all(2).all(0).sum())
    if unit_axis == 0 and outer % shape[0] == 0:
        return int(places.reshape(shape[0], -1).all(1).sum())
    return 0
