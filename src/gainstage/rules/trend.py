"""A positive quantity through depth, and whether it drifts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median, stdev

__all__ = ["BADLY", "HALFWAY", "HOPELESS", "Point", "Trend", "trend"]

HALFWAY = 2.0
BADLY = 3.0
HOPELESS = 4.0
"""Decades. A relative step of a weight is useful between about 1e-5 (a hundred thousand steps to change it) and 1e-1
(ten), a window of four decades. Layers whose gradients lie four decades apart leave no learning rate that serves
them all; three leave a window of one; two lead from the middle of the window to its edge."""

SURE = 3.0  # standard errors
_STEPS = 5  # a scatter of fewer says little
_FEWEST = 3


@dataclass(frozen=True, slots=True)
class Point:
    """A value at one depth.

    Args:
        depth: weighted operations from the input.
        node: the node it stands for (the first one measured at that depth).
        value: the geometric median over the nodes at that depth.
    """

    depth: int
    node: int
    value: float


@dataclass(frozen=True, slots=True)
class Trend:
    """The points by depth, at least three, and the drift between both ends.

    Each end is the median of a quarter of the depths, so that one layer of unusual scale makes no trend.

    >>> found = trend((depth, depth, 0.5**depth) for depth in range(12))
    >>> round(found.factor, 9), round(found.decades, 2)
    (0.5, -3.31)
    """

    points: tuple[Point, ...]

    @property
    def _quarter(self) -> int:
        return max(1, len(self.points) // 4)

    @property
    def start(self) -> float:
        """Median over the first quarter."""
        return _middle(self.points[: self._quarter])

    @property
    def end(self) -> float:
        """Median over the last quarter."""
        return _middle(self.points[-self._quarter :])

    @property
    def factor(self) -> float:
        """The mean factor from one depth to the next, between the middles of both quarters."""
        return float((self.end / self.start) ** (1 / (len(self.points) - self._quarter)))

    @property
    def decades(self) -> float:
        """log10 of that factor over all depths: negative where the quantity shrinks with depth."""
        return (len(self.points) - 1) * math.log10(self.factor)

    @property
    def systematic(self) -> bool:
        """Whether the drift is a factor that every layer has, and not the work of a few or of chance.

        The mean of the logarithmic steps from depth to depth lies more than three standard errors, taken from their
        own scatter, off zero. Six depths are needed to know that scatter.
        """
        steps = [math.log10(b.value / a.value) for a, b in pairwise(self.points)]
        if len(steps) < _STEPS:
            return False
        return abs(fmean(steps)) > SURE * stdev(steps) / math.sqrt(len(steps))

    @property
    def regular(self) -> bool:
        """Whether the drift is systematic by Student's t, which also judges three steps and four.

        The chance of error is that of three standard errors of a normal mean: with three steps the mean must exceed
        19 of them, with four 9, with five 6.6.
        """
        from scipy.special import ndtr, stdtrit

        steps = [math.log10(b.value / a.value) for a, b in pairwise(self.points)]
        if len(steps) < _FEWEST:
            return False
        bound = float(stdtrit(len(steps) - 1, float(ndtr(SURE))))
        return abs(fmean(steps)) > bound * stdev(steps) / math.sqrt(len(steps))

    @property
    def ends(self) -> tuple[Point, Point]:
        """The first and the last point."""
        return self.points[0], self.points[-1]

    def first_beyond(self, decades: float) -> Point:
        """The first point that has drifted this many decades from the start, or else the last."""
        way, start = math.copysign(1.0, self.decades), self.start
        drifted = (p for p in self.points if way * math.log10(p.value / start) >= decades)
        return next(drifted, self.points[-1])


def trend(values: Iterable[tuple[int, int, float]]) -> Trend | None:
    """The drift of ``(depth, node, value)``; None with fewer than three depths that have a positive, finite value."""
    by_depth: dict[int, list[Point]] = {}
    for depth, node, value in values:
        if math.isfinite(value) and value > 0:
            by_depth.setdefault(depth, []).append(Point(depth, node, value))
    points = tuple(Point(d, at[0].node, _middle(at)) for d, at in sorted(by_depth.items()))
    return Trend(points) if len(points) >= 3 else None


def _middle(points: Iterable[Point]) -> float:
    return math.exp(median(math.log(p.value) for p in points))
