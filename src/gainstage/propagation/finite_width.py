"""Finite-width fluctuations of the cosine similarity between two observations.

An observation is one position of one example. With few channels, cosine similarities scatter around their mean over
draws of the weights. Batch norm divides a channel by its variance over observations: the larger the squared
similarities, the fewer effective observations there are, and the more the channel variances differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["INFINITE_WIDTH", "FiniteWidth", "Deviation"]

_MOST_DEVIATIONS = 12  # the contribution of older ones is small
_LARGEST_SQUARE_VARIANCE = 3.0  # upper limit of the relative variance of squares


@dataclass(frozen=True, slots=True)
class Deviation:
    """Fluctuations of cosine similarities that arose at one tensor.

    Args:
        origin: index of the node where they arose. Deviations with one origin are fully correlated.
        variance: variance of the cosine similarity over pairs of observations.
        square_variance: variance of x² of one observation over units, channel means removed, relative to the second
            moment squared.
        smoothing: variance of the position offsets that later windows averaged over, along one axis, in input
            positions.
    """

    origin: int
    variance: float
    square_variance: float = 0.0
    smoothing: float = 0.0

    def scaled(self, pair: float, own: float) -> Deviation:
        """Return the deviation when products of two observations are multiplied by ``pair`` and squares of one by
        ``own``.
        """
        variance, square_variance = (
            min(self.variance * pair**2, 1.0),
            min(self.square_variance * own**2, _LARGEST_SQUARE_VARIANCE),
        )
        return Deviation(self.origin, variance, square_variance, self.smoothing)

    def summed_with(self, other: Deviation, axes: int) -> Deviation:
        """Return the sum of two deviations of one origin that were averaged over different windows."""
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
    """Return Σ w² of Gaussian window weights with this variance along every axis."""
    return float((1 + 4 * math.pi * smoothing) ** (-axes / 2))


def _same_offset(kernel: int, smoothing: float) -> float:
    """Return the variance of a mean of deviations over all pairs of positions of two windows, along one axis.

    Pairs with the same offset deviate alike as far as their taps overlap; pairs with different offsets deviate
    independently.
    """
    distance = np.arange(1 - kernel, kernel)
    alike = np.exp(-(distance**2) / (4 * smoothing)) if smoothing > 0 else (distance == 0).astype(float)
    sums = [float(np.maximum(length - np.abs(distance), 0) @ alike) for length in range(1, kernel + 1)]
    return (2 * sum(sums[:-1]) + sums[-1]) / kernel**4


@dataclass(frozen=True, slots=True)
class Basis:
    """The directions that the units of one observation span.

    Args:
        origin: index of the last node that mixed the units. Tensors of one origin lie along the same directions.
        unit_correlation: squared correlation of two units over observations: one over the number of directions.
    """

    origin: int = -1
    unit_correlation: float = 0.0

    def summed_with(self, other: Basis, share: float) -> Basis:
        """Return the basis of a sum of which this tensor has ``share`` of the second moment."""
        same = self.origin == other.origin
        root = share * math.sqrt(self.unit_correlation) + (1 - share) * math.sqrt(other.unit_correlation)
        unit_correlation = (
            root**2 if same else share**2 * self.unit_correlation + (1 - share) ** 2 * other.unit_correlation
        )
        return Basis((self if share >= 0.5 else other).origin, unit_correlation)


@dataclass(frozen=True, slots=True)
class FiniteWidth:
    """Fluctuations of cosine similarities and of per-observation second moments at finite width.

    Args:
        deviations: fluctuations by the tensor where they arose.
        pitch: distance between adjacent positions in input positions.
        axes: number of image axes.
        grouped_variance, grouped_square_variance: additional ``variance`` and ``square_variance`` of channels that read
            few others (grouped convolutions), which vanish when all channels are mixed again.
        square_variance: relative variance, between observations, of an observation's second moment (mean over units),
            before smoothing.
        smoothing: variance of the position offsets over which ``square_variance`` was averaged.
        new_level_variance: relative variance of an observation's second moment that the last weight added.
        basis, across: directions of the units, and of the positions that a transposition exchanges them with.
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
        """The variance of a cosine similarity after smoothing."""
        return sum(d.variance * self._window(d.smoothing) for d in self.deviations) + self.grouped_variance

    @property
    def total_square_variance(self) -> float:
        """The variance of x² of one observation over units, channel means removed, relative to the second moment
        squared.
        """
        return (
            sum(d.square_variance * self._window(d.smoothing) for d in self.deviations) + self.grouped_square_variance
        )

    @property
    def level_variance(self) -> float:
        """The relative variance of an observation's second moment."""
        return self.square_variance * self._window(self.smoothing) + self.new_level_variance

    def windowed(self, kernels: Sequence[float], strides: Sequence[float]) -> FiniteWidth:
        """Return the fluctuations behind a weighted window."""
        if not kernels:
            return self
        wide = self.pitch**2 * sum(k * k - 1 for k in kernels) / len(kernels) / 12
        pitch = self.pitch * math.prod(strides) ** (1 / len(strides))
        wider = tuple(replace(d, smoothing=d.smoothing + wide) for d in self.deviations)
        found = replace(self, deviations=wider, smoothing=self.smoothing + wide, pitch=pitch, axes=len(kernels))
        fewer = found._window(found.smoothing) / self._window(self.smoothing)
        return replace(found, basis=replace(self.basis, unit_correlation=self.basis.unit_correlation * fewer))

    def after_mixing(self, node: int, units: int) -> FiniteWidth:
        """Return the fluctuations behind a dense weight with ``units`` outputs."""
        return replace(
            self, new_level_variance=2 / units, basis=Basis(node, min(self.basis.unit_correlation + 1 / units, 1.0))
        )

    def transposed(self) -> FiniteWidth:
        """Return the fluctuations with units and positions exchanged.

        Second moments of observations were averages over units; after the exchange they scatter with the number of
        directions.
        """
        return replace(
            self,
            basis=self.across,
            across=self.basis,
            square_variance=0.0,
            new_level_variance=2 * self.across.unit_correlation,
        )

    def averaged(self, kernels: Sequence[int], strides: Sequence[int], gain: float) -> FiniteWidth:
        """Return the fluctuations behind an average pooling.

        Args:
            kernels, strides: window sizes and strides.
            gain: factor on products of two observations, relative to the second moment, before the average.
        """
        if not kernels:
            return self.scaled(gain)
        wider, count = self.windowed(kernels, strides), math.prod(kernels)

        def mean(before: Deviation, after: Deviation) -> Deviation:
            unit_correlation, wide = _window(before.smoothing, self.axes), _window(after.smoothing, wider.axes)
            from_one = unit_correlation * gain**2 / wide
            pairs = math.prod(_same_offset(k, before.smoothing / self.pitch**2) for k in kernels)
            # Squares at two positions correlate as far as their windows overlap; each product counts twice.
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
        """Add fluctuations that arise at this tensor."""
        if not deviation.variance > 0:
            return self
        return replace(self, deviations=(*self.deviations, deviation)[-_MOST_DEVIATIONS:])

    def scaled(self, factor: float, own: float | None = None) -> FiniteWidth:
        """Scale every deviation of a cosine similarity.

        Args:
            factor: factor on products of two observations.
            own: factor on the square of one observation; by default ``factor``.
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
        """Return the fluctuations when every second moment is raised to the power ``response``."""
        return replace(
            self,
            square_variance=self.square_variance * response**2,
            new_level_variance=self.new_level_variance * response**2,
        )

    def summed_with(self, other: FiniteWidth, share: float, *, independent: bool = False) -> FiniteWidth:
        """Return the fluctuations of a sum of which this tensor has ``share`` of the second moment.

        Deviations of one origin add up as amplitudes. Products of independent terms vanish on average only: over units
        along the same few directions a remainder makes observations differ in second moment.
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
