"""Moments, histograms and unit statistics of one tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Histogram", "Moments", "UnitStats"]


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments over all elements of one tensor.

    Non-finite elements are counted. They make mean, variance and second moment NaN or infinite.

    Args:
        count: number of elements.
        mean: mean of the elements.
        variance: variance of the elements (divided by count).
        second_moment: E[x²], the *level* q of the literature.
        nonfinite: number of elements that are NaN or infinite.
        minimum: the smallest element, where extremes were measured.
        maximum: the largest element, where extremes were measured.
        example_share: the share of the variance that lies between examples: the variance over examples of each unit at
            each position, averaged, over the variance of all elements. It is 0 when all examples have the same vector,
            and 1 when units do not differ in their means. None where the axis of examples is unknown.
        band: for a predicted second moment, the factors to the lower and upper end of the interval that contains nine
            of ten draws of the weights. None where it was measured.
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
        """Return the standard deviation over elements."""
        return math.sqrt(self.variance) if self.variance >= 0 else math.nan

    @property
    def rms(self) -> float:
        """Return the root of the second moment."""
        return math.sqrt(self.second_moment) if self.second_moment >= 0 else math.nan

    @property
    def norm(self) -> float:
        """Return the Euclidean norm of the whole tensor."""
        return math.sqrt(self.second_moment * self.count) if self.second_moment >= 0 else math.nan

    @property
    def finite(self) -> bool:
        """Report whether every element is finite."""
        return self.nonfinite == 0


@dataclass(frozen=True, slots=True)
class Histogram:
    """The distribution of the values of one tensor, from a sample of them.

    Args:
        low: lower edge of the first bin.
        high: upper edge of the last bin; equal to ``low`` where all values are the same.
        counts: numbers of sampled values in equal bins; values beyond the edges count in the outer bins.

    >>> Histogram(0.0, 4.0, (1, 0, 2, 1)).edges
    (0.0, 1.0, 2.0, 3.0, 4.0)
    """

    low: float
    high: float
    counts: tuple[int, ...]

    @property
    def edges(self) -> tuple[float, ...]:
        """Return the edges of all bins."""
        bins = len(self.counts)
        return tuple(self.low + (self.high - self.low) * i / bins for i in range(bins + 1))

    @property
    def sampled(self) -> int:
        """Return how many values were sampled."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class UnitStats:
    """Statistics of single units (channels) over the batch.

    Args:
        units: number of units.
        observations: number of values of each unit (examples times positions).
        examples: number of examples in the batch.
        zero: number of units that are zero for every example at every position.
        zero_share: share of all elements that are exactly zero.
        saturated_share: share of elements where a bounded activation lies within 1 % of its range from a bound.
        stuck: number of units of a bounded activation that are saturated for every example.
        example_correlation: mean cosine similarity (not centred) between the vectors of two different examples.
        token_correlation: mean cosine similarity between two positions of one example, where there are positions.
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
