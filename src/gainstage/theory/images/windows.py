"""Windows that slide over an axis: what zero padding and stride make of a level that varies along it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gainstage.theory.activations import Array

__all__ = ["Overlap", "Window", "relative"]

Places = npt.NDArray[np.integer[Any]]
_FLAT = 1e-9


@dataclass(frozen=True, slots=True)
class Overlap:
    """S(p, p'), the share of taps that lie inside for two places of an axis.

    Args:
        own: S(p, p) of every place.
        cross: E S(p, p') of every place, over the other.
        square: E S(p, p')² over all pairs.
        mean: E S(p, p').
    """

    own: Array
    cross: Array
    square: float
    mean: float


@dataclass(frozen=True, slots=True)
class Window:
    """One axis of a convolution or pooling.

    Args:
        size: places of the input along the axis.
        out: places of the output.
        kernel, stride, padding, dilation: as in PyTorch; padding is what stands before the first place.
        transposed: whether inputs are spread over outputs instead of gathered.
    """

    size: int
    out: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    transposed: bool = False

    def _ends(self) -> tuple[Places, Places]:
        """Every pair of places that meet in the axis: (input, output), flattened."""
        many, few = (self.size, self.out) if self.transposed else (self.out, self.size)
        start = np.arange(many)[:, None] * self.stride - self.padding
        other = start + np.arange(self.kernel)[None, :] * self.dilation
        here = np.broadcast_to(np.arange(many)[:, None], other.shape)
        inside = (other >= 0) & (other < few)
        wide, narrow = here[inside], other[inside]
        return (wide, narrow) if self.transposed else (narrow, wide)

    def forward(self, profile: Array | None) -> tuple[float, Array | None]:
        """Terms that meet in one output, on average, and how that varies along the output (mean one).

        Args:
            profile: the level along the input, of mean one; None where it is flat.
        """
        return relative(self.gathered(_of(profile, self.size)))

    def counts(self) -> Array:
        """Places of the input inside the window, output by output."""
        return self.gathered(np.ones(self.size))

    def common(self, offset: int) -> Array:
        """Places of the input inside of both of two windows so many outputs apart, for every such pair; undilated."""
        start = np.arange(self.out - abs(offset)) * self.stride - self.padding
        first = start + abs(offset) * self.stride
        inside = np.minimum(start + self.kernel, self.size) - np.maximum(first, 0)
        return np.asarray(np.maximum(inside, 0), dtype=np.float64)

    def gathered(self, values: Array) -> Array:
        """The sum of what meets in every output, of values along the input."""
        source, target = self._ends()
        return np.bincount(target, values[source], minlength=self.out).astype(np.float64)

    def shared(self, profile: Array | None) -> float:
        """Of the terms of one output, how many has another one as well, on average over pairs: a share of the kernel.

        Near a border some taps lie outside, and two places far apart lose different ones. Two places of equal
        correlation share in proportion to the roots of their levels.
        """
        source, target = self._ends()
        if self.transposed:
            return self.forward(profile)[0] * self.stride / self.kernel
        root = np.sqrt(_of(profile, self.size))
        tap = (source - target * self.stride + self.padding) // self.dilation
        inside = np.bincount(tap, root[source] / root.mean(), minlength=self.kernel) / self.out
        return float((inside**2).mean())

    def neighbouring(self, profile: Array | None) -> float:
        """The same for two places side by side, as they meet in windows that tile the axis by twos."""
        if self.transposed or self.out < 2 or self.size < 2:
            return self.shared(profile)
        source, target = self._ends()
        root = np.sqrt(_of(profile, self.size))
        tap = (source - target * self.stride + self.padding) // self.dilation
        inside = np.zeros((self.kernel, self.out))
        inside[tap, target] = root[source]
        before, both = root[: self.size // 2 * 2], inside[:, : self.out // 2 * 2]
        own = float((before[1::2] * before[::2]).mean())
        if own <= 0:  # zeros were set around so few places that no pair of them tells anything
            return self.shared(profile)
        return float((both[:, 1::2] * both[:, ::2]).mean()) / own

    def overlap(self, profile: Array | None) -> Overlap:
        """The taps that two places have in common, pair by pair; none for a transposed window."""
        if self.transposed:
            return Overlap(np.ones(self.out), np.ones(self.out), 1.0, 1.0)
        source, target = self._ends()
        root = np.sqrt(_of(profile, self.size))
        tap = (source - target * self.stride + self.padding) // self.dilation
        inside = np.zeros((self.kernel, self.out))
        inside[tap, target] = root[source] / root.mean()
        mean = inside.mean(1)
        square = float(((inside @ inside.T) ** 2).sum()) / (self.kernel * self.out) ** 2
        own, cross = (inside**2).sum(0) / self.kernel, mean @ inside / self.kernel
        return Overlap(np.asarray(own), np.asarray(cross), square, float(mean @ mean) / self.kernel)

    def shared_back(self) -> float:
        """The same for the gradient: outputs that one input reaches and another one as well, by the same taps."""
        source, target = self._ends()
        wide, narrow = (source, target) if self.transposed else (target, source)
        tap = (narrow - wide * self.stride + self.padding) // self.dilation
        return float(((np.bincount(tap, minlength=self.kernel) / self.size) ** 2).sum())

    def backward(self, profile: Array | None) -> tuple[float, Array | None]:
        """The same for the gradient: outputs that one input reaches, on average, and how that varies."""
        return relative(self.returned(_of(profile, self.out)))

    def returned(self, values: Array) -> Array:
        """The sum over the outputs that every input reaches, of values along the output."""
        source, target = self._ends()
        return np.bincount(source, values[target], minlength=self.size).astype(np.float64)


def _of(profile: Array | None, size: int) -> Array:
    """A profile; flat where none is known, or one of another axis."""
    return np.ones(size) if profile is None or profile.size != size else profile


def relative(sums: Array) -> tuple[float, Array | None]:
    """The mean, and what varies around it as parts of it; None where nothing does."""
    mean = float(sums.mean())
    if not mean > 0:
        return 0.0, None
    parts = sums / mean
    return mean, None if float(np.abs(parts - 1).max()) < _FLAT else parts
