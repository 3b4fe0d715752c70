"""How levels scatter from draw to draw, cause by cause.

What one weight does to the level of a stream, every later norm divides by, and every gradient on its way back meets
again and again. Such scatter adds up with its sign, and only that of independent causes adds up in squares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from gainstage.theory.activations import Array

__all__ = ["CALM", "Noise"]

_NONE: Array = np.empty(0)


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """The scatter of the logarithm of a level between draws of weights and batch: a sum of independent causes.

    Args:
        causes: the standard deviation that each cause brings, by its number, and the sign with which it does.

    >>> one = CALM.caused(0, 0.04)
    >>> round((one + one).variance, 3), round((one + CALM.caused(1, 0.04)).variance, 3), (one - one).variance
    (0.16, 0.08, 0.0)
    """

    causes: Array = field(default_factory=lambda: _NONE)

    @property
    def variance(self) -> float:
        """Of the logarithm."""
        return float(self.causes @ self.causes)

    def caused(self, number: int, variance: float) -> Noise:
        """With one cause more, whose number none has used before."""
        if not variance > 0:
            return self
        more = np.zeros(number + 1)
        more[number] = math.sqrt(variance)
        return self + Noise(more)

    def __add__(self, other: Noise) -> Noise:
        """Of a product of both levels."""
        one, two = self.causes, other.causes
        if one.size < two.size:
            one, two = two, one
        if not two.size:
            return Noise(one)
        total = one.copy()
        total[: two.size] += two
        return Noise(total)

    def __sub__(self, other: Noise) -> Noise:
        """Of a ratio."""
        return self + other * -1.0

    def __mul__(self, factor: float) -> Noise:
        """Of a level to that power, or of a sum of which this one is that share."""
        return Noise(self.causes * factor) if factor and self.causes.size else CALM

    def shrunk(self, variance: float) -> Noise:
        """With so much less variance, all causes alike."""
        whole = self.variance
        return self * math.sqrt(max(whole - variance, 0.0) / whole) if whole > 0 else self


CALM = Noise()
"""All draws are alike."""
