"""How unlike the pairs of a tensor are: correlations of two observations scatter around their mean.

An observation is one place of one example. Batch norm divides a channel by a spread over observations, and the more
unlike their correlations, the fewer of them count: channels then differ in spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["INFINITE_WIDTH", "FiniteWidth", "Deviation"]

_MOST_DEVIATIONS = 12  # what older ones add is small
_LARGEST_SQUARE_VARIANCE = 3.0  # squares of one observation scatter at most so much


@dataclass(frozen=True, slots=True)
class Deviation:
    """A scatter of correlations that arose at one tensor.

    Args:
        origin: the number of its node; what has one origin deviates together wherever it goes.
        amount: variance of the correlation, relative to the level, between pairs.
        swing: of one observation with itself: variance of its square over units, their means taken off.
        blur: variance, along one axis and in places of the input, of the taps that one place was gathered from since;
            over them the scatter is averaged.
    """

    origin: int
    variance: float
    square_variance: float = 0.0
    smoothing: float = 0.0

    def scaled(self, pair: float, own: float) -> Deviation:
        """Correlations of two observations multiplied, and the squares of one."""
        variance, square_variance = (
            min(self.variance * pair**2, 1.0),
            min(self.square_variance * own**2, _LARGEST_SQUARE_VARIANCE),
        )
        return Deviation(self.origin, variance, square_variance, self.smoothing)

    def summed_with(self, other: Deviation, axes: int) -> Deviation:
        """The sum of two that arose at one tensor and were averaged over different windows."""
        variance = (math.sqrt(self.variance) + math.sqrt(other.variance)) ** 2
        crossed = 2 * math.sqrt(self.variance * other.variance) * _window((self.smoothing + other.smoothing) / 2, axes)
        correlation_variance = (
            self.variance * _window(self.smoothing, axes) + other.variance * _window(other.smoothing, axes) + crossed
        )
        smoothing = (
            ((variance / correlation_variance) ** (2 / axes) - 1) / (4 * math.pi)
            if axes and correlation_variance > 0
            else 0.0
        )
        return replace(
            self,
            variance=variance,
            square_variance=(math.sqrt(self.square_variance) + math.sqrt(other.square_variance)) ** 2,
            smoothing=max(smoothing, 0.0),
        )


def _window(smoothing: float, axes: int) -> float:
    """Σ w² of bell-shaped weights along every axis."""
    return float((1 + 4 * math.pi * smoothing) ** (-axes / 2))


def _same_offset(kernel: int, smoothing: float) -> float:
    """Along one axis, the variance of a mean of deviations over all pairs of places of two windows.

    Pairs of one offset deviate alike as far as their taps overlap, those of different offsets independently.
    """
    distance = np.arange(1 - kernel, kernel)
    alike = np.exp(-(distance**2) / (4 * smoothing)) if smoothing > 0 else (distance == 0).astype(float)
    sums = [float(np.maximum(length - np.abs(distance), 0) @ alike) for length in range(1, kernel + 1)]
    return (2 * sum(sums[:-1]) + sums[-1]) / kernel**4


@dataclass(frozen=True, slots=True)
class Basis:
    """Which directions the units of one observation span, and how few they are.

    Args:
        origin: the node that mixed the units last; tensors of one origin lie along the same directions.
        narrow: the squared correlation of two units over observations, one over the number of directions.
    """

    origin: int = -1
    unit_correlation: float = 0.0

    def summed_with(self, other: Basis, share: float) -> Basis:
        """Of a sum, of which this one has that share."""
        same = self.origin == other.origin
        root = share * math.sqrt(self.unit_correlation) + (1 - share) * math.sqrt(other.unit_correlation)
        unit_correlation = (
            root**2 if same else share**2 * self.unit_correlation + (1 - share) ** 2 * other.unit_correlation
        )
        return Basis((self if share >= 0.5 else other).origin, unit_correlation)


@dataclass(frozen=True, slots=True)
class FiniteWidth:
    """What correlations of two observations have by chance.

    Args:
        deviations: with few channels, products of two observations scatter.
        pitch: places of the input from one place to the next.
        axes: of an image.
        single, restless: more of it and of ``square_variance`` of a deviation, where each channel saw few others; gone when all
            are mixed again.
        swing: relative variance of one observation's level (a mean over units), between observations, per place.
        blur: over which the swing is averaged.
        fresh: more of it, that the last weight brought.
        basis, across: of the units, and of what they are exchanged with where tokens are mixed.
    """

    deviations: tuple[Deviation, ...] = ()
    pitch: float = 1.0
    axes: int = 0
    grouped_variance: float = 0.0
    grouped_square_variance: float = 0.0
    square_variance: float = 0.0
    smoothing: float = 0.0
    new_level_variance: float = 0.0
    basis: Basis = Basis()
    across: Basis = Basis()

    def _window(self, smoothing: float) -> float:
        return _window(smoothing, self.axes)

    @property
    def correlation_variance(self) -> float:
        """Variance of a correlation by chance, after the averages."""
        return sum(d.variance * self._window(d.smoothing) for d in self.deviations) + self.grouped_variance

    @property
    def total_square_variance(self) -> float:
        """Variance of the square of one observation, its units' means taken off, relative to the level."""
        return (
            sum(d.square_variance * self._window(d.smoothing) for d in self.deviations) + self.grouped_square_variance
        )

    @property
    def level_variance(self) -> float:
        """Relative variance of an observation's level."""
        return self.square_variance * self._window(self.smoothing) + self.new_level_variance

    def windowed(self, kernels: Sequence[float], strides: Sequence[float]) -> FiniteWidth:
        """Behind a window."""
        if not kernels:
            return self
        wide = self.pitch**2 * sum(k * k - 1 for k in kernels) / len(kernels) / 12
        pitch = self.pitch * math.prod(strides) ** (1 / len(strides))
        wider = tuple(replace(d, smoothing=d.smoothing + wide) for d in self.deviations)
        found = replace(self, deviations=wider, smoothing=self.smoothing + wide, pitch=pitch, axes=len(kernels))
        fewer = found._window(found.smoothing) / self._window(self.smoothing)
        return replace(found, basis=replace(self.basis, unit_correlation=self.basis.unit_correlation * fewer))

    def after_mixing(self, node: int, units: int) -> FiniteWidth:
        """Behind a weight that makes so many units, each of all."""
        return replace(
            self, new_level_variance=2 / units, basis=Basis(node, min(self.basis.unit_correlation + 1 / units, 1.0))
        )

    def transposed(self) -> FiniteWidth:
        """Units and positions exchanged: levels were averaged, and are as unlike as few directions make them."""
        return replace(
            self,
            basis=self.across,
            across=self.basis,
            square_variance=0.0,
            new_level_variance=2 * self.across.unit_correlation,
        )

    def averaged(self, kernels: Sequence[int], strides: Sequence[int], gain: float) -> FiniteWidth:
        """Behind a mean over a window: both of two observations are means, each over places of its own.

        Args:
            kernels, strides: of the window.
            gain: what a product of two observations is multiplied by before that, as parts of the level.
        """
        if not kernels:
            return self.scaled(gain)
        wider, count = self.windowed(kernels, strides), math.prod(kernels)

        def mean(before: Deviation, after: Deviation) -> Deviation:
            unit_correlation, wide = _window(before.smoothing, self.axes), _window(after.smoothing, wider.axes)
            from_one = unit_correlation * gain**2 / wide
            pairs = math.prod(_same_offset(k, before.smoothing / self.pitch**2) for k in kernels)
            # Squares of places are as alike as the windows they were gathered from; each product counts twice.
            own = (
                before.square_variance * wide / unit_correlation / count**2
                + 2 * (count - 1) * before.variance / count**3
            )
            variance, square_variance = (
                min(before.variance * pairs * from_one, 1.0),
                min(own * from_one, _LARGEST_SQUARE_VARIANCE),
            )
            return replace(after, variance=variance, square_variance=square_variance)

        deviations = tuple(mean(*both) for both in zip(self.deviations, wider.deviations, strict=True))
        grouped_variance, grouped_square_variance = (
            self.grouped_variance * (gain / count) ** 2,
            (self.grouped_square_variance + 2 * (count - 1) * self.grouped_variance) * gain**2 / count**3,
        )
        return replace(
            wider,
            deviations=deviations,
            grouped_variance=grouped_variance,
            grouped_square_variance=grouped_square_variance,
        )

    def with_deviation(self, deviation: Deviation) -> FiniteWidth:
        """With one that arises here."""
        if not deviation.variance > 0:
            return self
        return replace(self, deviations=(*self.deviations, deviation)[-_MOST_DEVIATIONS:])

    def scaled(self, factor: float, own: float | None = None) -> FiniteWidth:
        """Every deviation of a correlation multiplied.

        Args:
            factor: of two observations.
            own: of one with itself; the same where it is not given.
        """
        own = factor if own is None else own
        changed = tuple(d.scaled(factor, own) for d in self.deviations)
        grouped_variance, grouped_square_variance = (
            min(self.grouped_variance * factor**2, 1.0),
            min(self.grouped_square_variance * own**2, _LARGEST_SQUARE_VARIANCE),
        )
        basis = replace(self.basis, unit_correlation=min(self.basis.unit_correlation * factor**2, 1.0))
        across = replace(self.across, unit_correlation=min(self.across.unit_correlation * factor**2, 1.0))
        return replace(
            self,
            deviations=changed,
            grouped_variance=grouped_variance,
            grouped_square_variance=grouped_square_variance,
            basis=basis,
            across=across,
        )

    def powered(self, response: float) -> FiniteWidth:
        """Every level raised to a power."""
        return replace(
            self,
            square_variance=self.square_variance * response**2,
            new_level_variance=self.new_level_variance * response**2,
        )

    def summed_with(self, other: FiniteWidth, share: float, *, independent: bool = False) -> FiniteWidth:
        """Of a sum, of which this one has that share: what arose at one tensor deviates together.

        Products of independent terms are zero on average only: over units that lie along the same few directions they
        leave something, so that observations differ in level.
        """
        rest = 1 - share
        few = math.sqrt(self.basis.unit_correlation * other.basis.unit_correlation)
        crossed = 4 * share * rest * few if independent and self.basis.origin == other.basis.origin else 0.0
        mine = {d.origin: d.scaled(share, share) for d in self.deviations}
        yours = {d.origin: d.scaled(rest, rest) for d in other.deviations}
        both = {
            origin: d.summed_with(yours[origin], max(self.axes, other.axes))
            for origin, d in mine.items()
            if origin in yours
        }
        deviations = tuple({**mine, **yours, **both}.values())
        level = share * math.sqrt(self.square_variance) + rest * math.sqrt(other.square_variance)
        return replace(
            self if share >= 0.5 else other,
            deviations=deviations[-_MOST_DEVIATIONS:],
            square_variance=level**2,
            grouped_variance=share**2 * self.grouped_variance + rest**2 * other.grouped_variance,
            grouped_square_variance=share**2 * self.grouped_square_variance + rest**2 * other.grouped_square_variance,
            new_level_variance=share**2 * self.new_level_variance + rest**2 * other.new_level_variance + crossed,
            basis=self.basis.summed_with(other.basis, share),
            across=self.across.summed_with(other.across, share),
        )


INFINITE_WIDTH = FiniteWidth()
"""All pairs are alike."""
