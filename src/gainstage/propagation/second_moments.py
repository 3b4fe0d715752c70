"""Second moments E x·y of one element with itself and of pairs of elements of one tensor."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

__all__ = ["Extent", "SecondMoments"]


@dataclass(frozen=True, slots=True)
class Extent:
    """The layout of a tensor's elements, whatever the order of its axes.

    Args:
        units: number of channels or features.
        positions: number of pixels, tokens or heads.
        examples: size of the batch; 1 where the tensor is the same for all examples.
    """

    units: int
    positions: int = 1
    examples: int = 1

    def transposed(self) -> Extent:
        """Return the extent with units and positions exchanged."""
        return Extent(self.positions, self.units, self.examples)

    @property
    def count(self) -> int:
        """The number of elements."""
        return self.units * self.positions * self.examples


@dataclass(frozen=True, slots=True)
class SecondMoments:
    """E x·y for x and y of one tensor: the same element, or two elements that differ in one respect.

    Args:
        level: E x², the same element.
        units: two units at one position of one example.
        positions: two positions of one unit and one example.
        examples: two examples at one unit and one position.
        neighbour: two adjacent positions; by default equal to ``positions``.
        across_both: two elements that differ in example and in position; by default equal to ``examples``.
    """

    level: float
    units: float = 0.0
    positions: float = 0.0
    examples: float = 0.0
    neighbour: float = math.nan
    across_both: float = math.nan

    def __post_init__(self) -> None:
        if math.isnan(self.neighbour):
            object.__setattr__(self, "neighbour", self.positions)
        if math.isnan(self.across_both):
            object.__setattr__(self, "across_both", self.examples)

    def __add__(self, other: SecondMoments) -> SecondMoments:
        return self.zip(other, lambda a, b: a + b)

    def __mul__(self, other: SecondMoments) -> SecondMoments:
        return self.zip(other, lambda a, b: a * b)

    def zip(self, other: SecondMoments, combine: Callable[[float, float], float]) -> SecondMoments:
        """Combine two records field by field."""
        return SecondMoments(
            combine(self.level, other.level),
            combine(self.units, other.units),
            combine(self.positions, other.positions),
            combine(self.examples, other.examples),
            combine(self.neighbour, other.neighbour),
            combine(self.across_both, other.across_both),
        )

    def each(self, change: Callable[[float], float]) -> SecondMoments:
        """Apply a function to every field."""
        return self.zip(self, lambda value, _: change(value))

    def scaled(self, factor: float) -> SecondMoments:
        """Multiply every field by ``factor``."""
        return self.each(lambda value: value * factor)

    def shifted(self, offset: float) -> SecondMoments:
        """Add ``offset`` to every field."""
        return self.each(lambda value: value + offset)

    def geometric_mean(self, other: SecondMoments) -> SecondMoments:
        """Return √(a·b) field by field, which measures the pairs for which both tensors are correlated."""
        return self.zip(other, lambda a, b: math.sqrt(max(a * b, 0.0)))

    def at_stride(self, stride: float) -> SecondMoments:
        """Return the moments when adjacent positions lie ``stride`` positions apart.

        The covariance of neighbours that an example does not share with others decays geometrically with distance. The
        part common to all examples at one position varies slowly and stays.
        """
        field = max(self.examples - self.across_both, 0.0)
        own, geometric_mean = (whole - self.positions - field for whole in (self.level, self.neighbour))
        if stride <= 1 or not 0 < geometric_mean < own:
            return self
        return replace(
            self, neighbour=self.neighbour - geometric_mean + geometric_mean * (geometric_mean / own) ** (stride - 1)
        )

    def transposed(self) -> SecondMoments:
        """Return the moments with units and positions exchanged."""
        return SecondMoments(self.level, self.positions, self.units, self.examples)

    def position_mean_square(self, count: float) -> float:
        """Return the second moment of a mean over ``count`` positions."""
        return self.level / count + (1 - 1 / count) * self.positions

    def batch_mean_square(self, extent: Extent) -> float:
        """Return the second moment of a mean over all examples and positions of one unit."""
        within = self.position_mean_square(extent.positions)
        between = self.examples / extent.positions + (1 - 1 / extent.positions) * self.across_both
        return within / extent.examples + (1 - 1 / extent.examples) * between

    def covariance_variance(self, extent: Extent) -> float:
        """Return the draw-to-draw relative variance of the covariance between positions, 2 / (units · independent
        examples).
        """
        if not self.positions > 0:
            return 0.0
        alike = min((self.across_both / self.positions) ** 2, 1.0)
        return 2 * (1 / extent.examples + (1 - 1 / extent.examples) * alike) / max(extent.units, 1)

    def mean_over_observations(self, extent: Extent, within: float | None = None) -> float:
        """Average the fields over all ordered pairs of observations, where an observation is one position of one
        example.

        Args:
            extent: number of examples and positions.
            within: the average over pairs of positions of one example, where positions are not alike.
        """
        places, examples = extent.positions, extent.examples
        if within is None:
            within = self.level / places + (1 - 1 / places) * self.positions
        between = self.examples / places + (1 - 1 / places) * self.across_both
        return within / examples + (1 - 1 / examples) * between

    def mean_squared_correlation(self, extent: Extent, within: float | None = None) -> float:
        """Return the mean of squared cosine similarities over all pairs of observations of a unit.

        Its inverse is the effective number of independent observations.

        Args:
            extent: number of examples and positions.
            within: the same mean over the positions of one example, where positions are not alike.
        """
        if not self.level > 0:
            return 1.0

        return self.each(lambda pair: min((pair / self.level) ** 2, 1.0)).mean_over_observations(extent, within)
