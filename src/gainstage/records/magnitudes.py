"""Magnitudes describes how the absolute values of one tensor are distributed over the range of a number format."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["PER_OCTAVE", "Magnitudes", "TensorKind", "TensorMagnitudes"]

PER_OCTAVE = 16
"""Bins to every doubling of |x|, so that a share between two edges is known to about one in ten thousand."""

TensorKind = Literal["output", "gradient", "weight", "weight_gradient", "step"]
"""The kind of a tensor: signal, gradient, weight, its gradient, or its first step.

``output`` and ``gradient`` are an operation's output and the gradient of the loss by it; ``weight`` and
``weight_gradient`` belong to a parameter. ``step`` is the size of a parameter's first update relative to the power of
two at or below the weight, |Δw| / 2^⌊log₂|w|⌋, over the weights that are not zero.
"""


@dataclass(frozen=True, slots=True)
class Magnitudes:
    """Distribution of |x| over the elements of one tensor, in bins of equal ratio.

    Bin i contains the elements with 2^((first + i) / 16) ≤ |x| < 2^((first + i + 1) / 16).

    Args:
        count: number of elements of the tensor.
        zeros: share of the elements that are exactly zero.
        nonfinite: number of elements that are NaN or infinite; they are in no bin.
        first: number of the first bin.
        shares: share of the finite elements in every bin; together with ``zeros`` they add up to one.
        largest: the largest finite |x|.

    >>> half = Magnitudes(8, 0.5, 0, 0, (0.25,) + 15 * (0.0,) + (0.25,), 2.0)
    >>> half.below(1.5), half.at_least(1.5), half.quantile(0.1) < 1.1
    (0.25, 0.25, True)
    """

    count: int
    zeros: float
    nonfinite: int
    first: int
    shares: tuple[float, ...]
    largest: float

    def below(self, bound: float) -> float:
        """Return the share of the finite elements with 0 < |x| < ``bound``; inside a bin, in proportion to log |x|."""
        if not self.shares or bound <= 0:
            return 0.0
        place = PER_OCTAVE * math.log2(bound) - self.first if bound < math.inf else math.inf
        if place >= len(self.shares):
            return math.fsum(self.shares)
        if place <= 0:
            return 0.0
        whole = int(place)
        return math.fsum(self.shares[:whole]) + (place - whole) * self.shares[whole]

    def at_least(self, bound: float) -> float:
        """Return the share of the finite elements with |x| ≥ ``bound``; zero where the largest one is below it."""
        if self.largest < bound:
            return 0.0
        # The largest element is known exactly, and may be missing in a sample.
        return max(math.fsum(self.shares) - self.below(bound), 1 / self.count)

    def quantile(self, share: float) -> float:
        """Return the |x| below which this share of the elements that are neither zero nor infinite lies."""
        wanted = share * math.fsum(self.shares)
        passed = 0.0
        for i, one in enumerate(self.shares):
            if one and passed + one >= wanted:
                inside = 2.0 ** ((self.first + i + (wanted - passed) / one) / PER_OCTAVE)
                return float(min(inside, self.largest))
            passed += one
        return self.largest

    @property
    def rms(self) -> float:
        """Return the root mean square of the finite elements, zeros included."""
        return math.sqrt(math.fsum(share * size * size for size, share in self.sizes()))

    def sizes(self) -> tuple[tuple[float, float], ...]:
        """Return |x| at the middle of every bin that is not empty, with the bin's share."""
        return tuple(
            (2.0 ** min((self.first + i + 0.5) / PER_OCTAVE, 1023.0), share)
            for i, share in enumerate(self.shares)
            if share > 0
        )


@dataclass(frozen=True, slots=True)
class TensorMagnitudes:
    """The magnitudes of one tensor of a pass.

    Args:
        kind: which tensor it is.
        path: the module or parameter.
        magnitudes: its absolute values.
        dtype: the number format in which it was computed; empty where it was predicted.
        node: index of the operation, for outputs and their gradients.
    """

    kind: TensorKind
    path: str
    magnitudes: Magnitudes
    dtype: str = ""
    node: int | None = None
