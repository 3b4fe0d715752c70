"""How unlike the pairs of a tensor are: correlations of two observations scatter around their mean.

An observation is one place of one example. Batch norm divides a channel by a spread over observations, and the more
unlike their correlations, the fewer of them count: channels then differ in spread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = ["CERTAIN", "Chance", "Deviation"]

_MOST = 12  # what older ones add is small


@dataclass(frozen=True, slots=True)
class Deviation:
    """A scatter of correlations that arose at one tensor.

    Args:
        origin: the number of its node; what has one origin deviates together wherever it goes.
        amount: variance of the correlation, relative to the level, between pairs.
        blur: variance, along one axis and in places of the input, of the taps that one place was gathered from since;
            over them the scatter is averaged.
    """

    origin: int
    amount: float
    blur: float = 0.0


@dataclass(frozen=True, slots=True)
class Chance:
    """What correlations of two observations have by chance.

    Args:
        deviations: with few channels, products of two observations scatter.
        pitch: places of the input from one place to the next.
        axes: of an image.
        single: more of it, where each channel saw few others; gone when all are mixed again.
        swing: relative variance of one observation's level (a mean over units), between observations, per place.
        blur: over which the swing is averaged.
        fresh: more of it, that the last weight brought.
    """

    deviations: tuple[Deviation, ...] = ()
    pitch: float = 1.0
    axes: int = 0
    single: float = 0.0
    swing: float = 0.0
    blur: float = 0.0
    fresh: float = 0.0

    @property
    def left(self) -> float:
        """Variance of a correlation by chance, after the averages."""
        return sum(d.amount * self._window(d.blur) for d in self.deviations) + self.single

    @property
    def uneven(self) -> float:
        """Relative variance of an observation's level."""
        return self.swing * self._window(self.blur) + self.fresh

    def _window(self, blur: float) -> float:
        """Σ w² of bell-shaped weights along every axis."""
        return float((1 + 4 * math.pi * blur) ** (-self.axes / 2))

    def gathered(self, kernels: Sequence[float], strides: Sequence[float]) -> Chance:
        """Behind a window."""
        if not kernels:
            return self
        wide = self.pitch**2 * sum(k * k - 1 for k in kernels) / len(kernels) / 12
        pitch = self.pitch * math.prod(strides) ** (1 / len(strides))
        wider = tuple(replace(d, blur=d.blur + wide) for d in self.deviations)
        return replace(self, deviations=wider, blur=self.blur + wide, pitch=pitch, axes=len(kernels))

    def and_also(self, deviation: Deviation) -> Chance:
        """With one that arises here."""
        if not deviation.amount > 0:
            return self
        return replace(self, deviations=(*self.deviations, deviation)[-_MOST:])

    def scaled(self, factor: float) -> Chance:
        """Every deviation of a correlation multiplied."""
        changed = tuple(replace(d, amount=min(d.amount * factor**2, 1.0)) for d in self.deviations)
        return replace(self, deviations=changed, single=min(self.single * factor**2, 1.0))

    def swung(self, response: float) -> Chance:
        """Every level raised to a power."""
        return replace(self, swing=self.swing * response**2, fresh=self.fresh * response**2)

    def beside(self, other: Chance, share: float) -> Chance:
        """Of a sum, of which this one has that share: what arose at one tensor deviates together."""
        rest = 1 - share
        found: dict[int, Deviation] = {}
        roots: dict[int, float] = {}
        for chance, part in ((self, share), (other, rest)):
            for d in chance.deviations:
                roots[d.origin] = roots.get(d.origin, 0.0) + part * math.sqrt(d.amount)
                if d.origin not in found or found[d.origin].blur > d.blur:
                    found[d.origin] = d
        deviations = tuple(replace(d, amount=roots[origin] ** 2) for origin, d in found.items())
        level = share * math.sqrt(self.swing) + rest * math.sqrt(other.swing)
        return replace(
            self if share >= 0.5 else other, deviations=deviations[-_MOST:], swing=level**2,
            single=share**2 * self.single + rest**2 * other.single,
            fresh=share**2 * self.fresh + rest**2 * other.fresh,
        )  # fmt: skip


CERTAIN = Chance()
"""All pairs are alike."""
