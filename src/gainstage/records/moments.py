"""Moments of one tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Histogram", "Moments", "UnitStats"]


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments over all elements of one tensor.

    A non-finite element leaves mean, variance and second moment as they came out (NaN or infinite) and is counted.

    Args:
        count: number of elements.
        mean: their mean.
        variance: their variance (divided by count).
        second_moment: E[x²], the *level* q of the literature.
        nonfinite: how many are NaN or infinite.
        minimum: the smallest, where extremes were taken.
        maximum: the largest, where extremes were taken.
        example_share: the share of variance across examples: of all variance, how much is left when every unit at every
            position is compared over the examples only. 0: all examples have become one vector; 1: units do not
            differ in their means. None where examples cannot be told apart.
        band: of a predicted second moment: what it is multiplied by at the ends of the interval that holds nine of ten
            draws of the weights. None where it was measured.
    """

    count: int
    mean: float
    variance: float
    second_moment: float
    nonfinite: int = 0
    minimum: float | None = None
    maximum: float | None = None
    example_share: float | None = None
    band: tuple[float, float] | None = None

    @property
    def spread(self) -> float:
        """The standard deviation over elements."""
        return math.sqrt(self.variance) if self.variance >= 0 else math.nan

    @property
    def rms(self) -> float:
        """The root of the second moment."""
        return math.sqrt(self.second_moment) if self.second_moment >= 0 else math.nan

    @property
    def norm(self) -> float:
        """The Euclidean norm of the whole tensor."""
        return math.sqrt(self.second_moment * self.count) if self.second_moment >= 0 else math.nan

    @property
    def finite(self) -> bool:
        """Whether every element is a number."""
        return self.nonfinite == 0


@dataclass(frozen=True, slots=True)
class Histogram:
    """How the values of one tensor are distributed, from a sample of them.

    Args:
        low: lower edge of the first bin.
        high: upper edge of the last one; equal to ``low`` where all values are the same.
        counts: of the sampled values in equal bins; values beyond the edges are counted in the outer bins.

    >>> Histogram(0.0, 4.0, (1, 0, 2, 1)).edges
    (0.0, 1.0, 2.0, 3.0, 4.0)
    """

    low: float
    high: float
    counts: tuple[int, ...]

    @property
    def edges(self) -> tuple[float, ...]:
        """Edges of all bins."""
        bins = len(self.counts)
        return tuple(self.low + (self.high - self.low) * i / bins for i in range(bins + 1))

    @property
    def sampled(self) -> int:
        """How many values were counted."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class UnitStats:
    """What single units (channels) do over the batch.

    Args:
        units: number of units.
        observations: values seen of each unit (examples times positions).
        examples: number of examples in the batch.
        zero: units that are zero for every example at every position.
        zero_share: share of all elements that are exactly zero.
        saturated_share: share of elements where a bounded activation sits within 1 % of its range from a bound.
        stuck: units of a bounded activation saturated for every example.
        example_correlation: mean correlation (uncentred cosine) between the vectors of two different examples.
        token_correlation: the same between two positions of one example, where there are positions.
    """

    units: int
    observations: int
    examples: int
    zero: int = 0
    zero_share: float | None = None
    saturated_share: float | None = None
    stuck: int | None = None
    example_correlation: float | None = None
    token_correlation: float | None = None
