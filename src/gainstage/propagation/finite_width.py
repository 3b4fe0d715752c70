"""How unlike the pairs of a tensor are: correlations of two observations scatter around their mean.

An observation is one place of one example. Batch norm divides a channel by a spread over observations, and the more
unlike their correlations, the fewer of them count: channels then differ in spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["CERTAIN", "FiniteWidth", "Deviation"]

_MOST = 12  # what older ones add is small
_LOUDEST = 3.0  # squares of one observation scatter at most so much


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
    amount: float
    swing: float = 0.0
    blur: float = 0.0

    def scaled(self, pair: float, own: float) -> Deviation:
        """Correlations of two observations multiplied, and the squares of one."""
        amount, swing = min(self.amount * pair**2, 1.0), min(self.swing * own**2, _LOUDEST)
        return Deviation(self.origin, amount, swing, self.blur)

    def beside(self, other: Deviation, axes: int) -> Deviation:
        """The sum of two that arose at one tensor and were averaged over different windows."""
        amount = (math.sqrt(self.amount) + math.sqrt(other.amount)) ** 2
        crossed = 2 * math.sqrt(self.amount * other.amount) * _window((self.blur + other.blur) / 2, axes)
        left = self.amount * _window(self.blur, axes) + other.amount * _window(other.blur, axes) + crossed
        blur = ((amount / left) ** (2 / axes) - 1) / (4 * math.pi) if axes and left > 0 else 0.0
        return replace(
            self, amount=amount, swing=(math.sqrt(self.swing) + math.sqrt(other.swing)) ** 2, blur=max(blur, 0.0)
        )


def _window(blur: float, axes: int) -> float:
    """Σ w² of bell-shaped weights along every axis."""
    return float((1 + 4 * math.pi * blur) ** (-axes / 2))


def _same_offset(kernel: int, blur: float) -> float:
    """Along one axis, the variance of a mean of deviations over all pairs of places of two windows.

    Pairs of one offset deviate alike as far as their taps overlap, those of different offsets independently.
    """
    distance = np.arange(1 - kernel, kernel)
    alike = np.exp(-(distance**2) / (4 * blur)) if blur > 0 else (distance == 0).astype(float)
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
    narrow: float = 0.0

    def beside(self, other: Basis, share: float) -> Basis:
        """Of a sum, of which this one has that share."""
        same = self.origin == other.origin
        root = share * math.sqrt(self.narrow) + (1 - share) * math.sqrt(other.narrow)
        narrow = root**2 if same else share**2 * self.narrow + (1 - share) ** 2 * other.narrow
        return Basis((self if share >= 0.5 else other).origin, narrow)


@dataclass(frozen=True, slots=True)
class FiniteWidth:
    """What correlations of two observations have by chance.

    Args:
        deviations: with few channels, products of two observations scatter.
        pitch: places of the input from one place to the next.
        axes: of an image.
        single, restless: more of it and of ``swing`` of a deviation, where each channel saw few others; gone when all
            are mixed again.
        swing: relative variance of one observation's level (a mean over units), between observations, per place.
        blur: over which the swing is averaged.
        fresh: more of it, that the last weight brought.
        basis, across: of the units, and of what they are exchanged with where tokens are mixed.
    """

    deviations: tuple[Deviation, ...] = ()
    pitch: float = 1.0
    axes: int = 0
    single: float = 0.0
    restless: float = 0.0
    swing: float = 0.0
    blur: float = 0.0
    fresh: float = 0.0
    basis: Basis = Basis()
    across: Basis = Basis()

    def _window(self, blur: float) -> float:
        return _window(blur, self.axes)

    @property
    def left(self) -> float:
        """Variance of a correlation by chance, after the averages."""
        return sum(d.amount * self._window(d.blur) for d in self.deviations) + self.single

    @property
    def loud(self) -> float:
        """Variance of the square of one observation, its units' means taken off, relative to the level."""
        return sum(d.swing * self._window(d.blur) for d in self.deviations) + self.restless

    @property
    def uneven(self) -> float:
        """Relative variance of an observation's level."""
        return self.swing * self._window(self.blur) + self.fresh

    def gathered(self, kernels: Sequence[float], strides: Sequence[float]) -> FiniteWidth:
        """Behind a window."""
        if not kernels:
            return self
        wide = self.pitch**2 * sum(k * k - 1 for k in kernels) / len(kernels) / 12
        pitch = self.pitch * math.prod(strides) ** (1 / len(strides))
        wider = tuple(replace(d, blur=d.blur + wide) for d in self.deviations)
        found = replace(self, deviations=wider, blur=self.blur + wide, pitch=pitch, axes=len(kernels))
        fewer = found._window(found.blur) / self._window(self.blur)
        return replace(found, basis=replace(self.basis, narrow=self.basis.narrow * fewer))

    def mixed(self, node: int, units: int) -> FiniteWidth:
        """Behind a weight that makes so many units, each of all."""
        return replace(self, fresh=2 / units, basis=Basis(node, min(self.basis.narrow + 1 / units, 1.0)))

    def turned(self) -> FiniteWidth:
        """Units and positions exchanged: levels were averaged, and are as unlike as few directions make them."""
        return replace(self, basis=self.across, across=self.basis, swing=0.0, fresh=2 * self.across.narrow)

    def averaged(self, kernels: Sequence[int], strides: Sequence[int], gain: float) -> FiniteWidth:
        """Behind a mean over a window: both of two observations are means, each over places of its own.

        Args:
            kernels, strides: of the window.
            gain: what a product of two observations is multiplied by before that, as parts of the level.
        """
        if not kernels:
            return self.scaled(gain)
        wider, count = self.gathered(kernels, strides), math.prod(kernels)

        def mean(before: Deviation, after: Deviation) -> Deviation:
            narrow, wide = _window(before.blur, self.axes), _window(after.blur, wider.axes)
            from_one = narrow * gain**2 / wide
            pairs = math.prod(_same_offset(k, before.blur / self.pitch**2) for k in kernels)
            # Squares of places are as alike as the windows they were gathered from; each product counts twice.
            own = before.swing * wide / narrow / count**2 + 2 * (count - 1) * before.amount / count**3
            amount, swing = min(before.amount * pairs * from_one, 1.0), min(own * from_one, _LOUDEST)
            return replace(after, amount=amount, swing=swing)

        deviations = tuple(mean(*both) for both in zip(self.deviations, wider.deviations, strict=True))
        single, restless = (
            self.single * (gain / count) ** 2,
            (self.restless + 2 * (count - 1) * self.single) * gain**2 / count**3,
        )
        return replace(wider, deviations=deviations, single=single, restless=restless)

    def and_also(self, deviation: Deviation) -> FiniteWidth:
        """With one that arises here."""
        if not deviation.amount > 0:
            return self
        return replace(self, deviations=(*self.deviations, deviation)[-_MOST:])

    def scaled(self, factor: float, own: float | None = None) -> FiniteWidth:
        """Every deviation of a correlation multiplied.

        Args:
            factor: of two observations.
            own: of one with itself; the same where it is not given.
        """
        own = factor if own is None else own
        changed = tuple(d.scaled(factor, own) for d in self.deviations)
        single, restless = min(self.single * factor**2, 1.0), min(self.restless * own**2, _LOUDEST)
        basis = replace(self.basis, narrow=min(self.basis.narrow * factor**2, 1.0))
        across = replace(self.across, narrow=min(self.across.narrow * factor**2, 1.0))
        return replace(self, deviations=changed, single=single, restless=restless, basis=basis, across=across)

    def swung(self, response: float) -> FiniteWidth:
        """Every level raised to a power."""
        return replace(self, swing=self.swing * response**2, fresh=self.fresh * response**2)

    def beside(self, other: FiniteWidth, share: float, *, independent: bool = False) -> FiniteWidth:
        """Of a sum, of which this one has that share: what arose at one tensor deviates together.

        Products of independent terms are zero on average only: over units that lie along the same few directions they
        leave something, so that observations differ in level.
        """
        rest = 1 - share
        few = math.sqrt(self.basis.narrow * other.basis.narrow)
        crossed = 4 * share * rest * few if independent and self.basis.origin == other.basis.origin else 0.0
        mine = {d.origin: d.scaled(share, share) for d in self.deviations}
        yours = {d.origin: d.scaled(rest, rest) for d in other.deviations}
        both = {
            origin: d.beside(yours[origin], max(self.axes, other.axes)) for origin, d in mine.items() if origin in yours
        }
        deviations = tuple({**mine, **yours, **both}.values())
        level = share * math.sqrt(self.swing) + rest * math.sqrt(other.swing)
        return replace(
            self if share >= 0.5 else other, deviations=deviations[-_MOST:], swing=level**2,
            single=share**2 * self.single + rest**2 * other.single,
            restless=share**2 * self.restless + rest**2 * other.restless,
            fresh=share**2 * self.fresh + rest**2 * other.fresh + crossed, basis=self.basis.beside(other.basis, share),
            across=self.across.beside(other.across, share),
        )  # fmt: skip


CERTAIN = FiniteWidth()
"""All pairs are alike."""
