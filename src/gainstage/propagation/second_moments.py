"""Second moments of one element and of pairs of elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

__all__ = ["Extent", "SecondMoments"]


@dataclass(frozen=True, slots=True)
class Extent:
    """How a tensor's elements are laid out, whatever the order of its axes.

    Args:
        units: channels, features.
        positions: places in an image, tokens, heads.
        examples: of the batch; 1 where the tensor is the same for all.
    """

    units: int
    positions: int = 1
    examples: int = 1

    def transposed(self) -> Extent:
        """Units and positions exchanged."""
        return Extent(self.positions, self.units, self.examples)

    @property
    def count(self) -> int:
        """All elements."""
        return self.units * self.positions * self.examples


@dataclass(frozen=True, slots=True)
class SecondMoments:
    """E x·y for x and y of one tensor: the same element, and two that differ in one respect only.

    Args:
        level: of an element with itself, E x².
        units: of two units at one position of one example.
        positions: of two positions of one unit and example.
        examples: of two examples, at one unit and position.
        neighbour: of two neighbouring positions; like any two where nothing else is said.
        across_both: of two that differ in both, example and position; like two examples where nothing else is said.
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
        """Both, respect by respect."""
        return SecondMoments(
            combine(self.level, other.level),
            combine(self.units, other.units),
            combine(self.positions, other.positions),
            combine(self.examples, other.examples),
            combine(self.neighbour, other.neighbour),
            combine(self.across_both, other.across_both),
        )

    def each(self, change: Callable[[float], float]) -> SecondMoments:
        """Every one changed alike."""
        return self.zip(self, lambda value, _: change(value))

    def scaled(self, factor: float) -> SecondMoments:
        """Every one times a factor."""
        return self.each(lambda value: value * factor)

    def shifted(self, offset: float) -> SecondMoments:
        """Every one plus a number."""
        return self.each(lambda value: value + offset)

    def geometric_mean(self, other: SecondMoments) -> SecondMoments:
        """Geometric means with another tensor: how far both are alike in the same respects."""
        return self.zip(other, lambda a, b: math.sqrt(max(a * b, 0.0)))

    def at_stride(self, stride: float) -> SecondMoments:
        """Where neighbours lie so many places apart: what they share of an example's own falls by a factor a place.

        What all examples have at one place is a field that varies slowly, and stays.
        """
        field = max(self.examples - self.across_both, 0.0)
        own, geometric_mean = (whole - self.positions - field for whole in (self.level, self.neighbour))
        if stride <= 1 or not 0 < geometric_mean < own:
            return self
        return replace(
            self, neighbour=self.neighbour - geometric_mean + geometric_mean * (geometric_mean / own) ** (stride - 1)
        )

    def transposed(self) -> SecondMoments:
        """Units and positions exchanged."""
        return SecondMoments(self.level, self.positions, self.units, self.examples)

    def position_mean_square(self, count: float) -> float:
        """E of the square of a mean over so many positions."""
        return self.level / count + (1 - 1 / count) * self.positions

    def batch_mean_square(self, extent: Extent) -> float:
        """E of the square of a mean over all examples and positions of a unit."""
        within = self.position_mean_square(extent.positions)
        between = self.examples / extent.positions + (1 - 1 / extent.positions) * self.across_both
        return within / extent.examples + (1 - 1 / extent.examples) * between

    def covariance_variance(self, extent: Extent) -> float:
        """Relative variance, for each draw of weights, of what two positions have in common: one vector an example."""
        if not self.positions > 0:
            return 0.0
        alike = min((self.across_both / self.positions) ** 2, 1.0)
        return 2 * (1 / extent.examples + (1 - 1 / extent.examples) * alike) / max(extent.units, 1)

    def mean_over_observations(self, extent: Extent, within: float | None = None) -> float:
        """Mean over all pairs of observations of a unit, of something that is known for every kind of pair.

        Args:
            extent: how many there are.
            within: the same of the positions of one example, where these are not alike.
        """
        places, examples = extent.positions, extent.examples
        if within is None:
            within = self.level / places + (1 - 1 / places) * self.positions
        between = self.examples / places + (1 - 1 / places) * self.across_both
        return within / examples + (1 - 1 / examples) * between

    def mean_squared_correlation(self, extent: Extent, within: float | None = None) -> float:
        """Mean squared correlation of two observations of a unit: one over their effective number.

        Args:
            extent: how many there are.
            within: the same of the positions of one example, where these are not alike.
        """
        if not self.level > 0:
            return 1.0

        return self.each(lambda pair: min((pair / self.level) ** 2, 1.0)).mean_over_observations(extent, within)
