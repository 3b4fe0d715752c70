"""Windows that slide along one image axis: effects of zero padding and stride on second moments.

A *profile* is the second moment along the axis divided by its mean; None stands for a constant profile.
"""

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
    """S(p, p'), the share of a window's taps that lie inside the image for both of two output positions p and p'.

    Args:
        own: S(p, p) of every position, shape (out,).
        cross: mean of S(p, p') over p', shape (out,).
        square: mean of S(p, p')² over all pairs.
        mean: mean of S(p, p') over all pairs.
    """

    own: Array
    cross: Array
    square: float
    mean: float


@dataclass(frozen=True, slots=True)
class Window:
    """One axis of a convolution or pooling.

    Args:
        size: number of input positions along the axis.
        out: number of output positions.
        kernel, stride, padding, dilation: as in PyTorch; padding is that before the first position.
        transposed: whether inputs are spread over outputs (transposed convolution).
    """

    size: int
    out: int
    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    transposed: bool = False

    def _ends(self) -> tuple[Places, Places]:
        """Return all pairs (input, output) of positions that the window connects, flattened."""
        many, few = (self.size, self.out) if self.transposed else (self.out, self.size)
        start = np.arange(many)[:, None] * self.stride - self.padding
        other = start + np.arange(self.kernel)[None, :] * self.dilation
        here = np.broadcast_to(np.arange(many)[:, None], other.shape)
        inside = (other >= 0) & (other < few)
        wide, narrow = here[inside], other[inside]
        return (wide, narrow) if self.transposed else (narrow, wide)

    def forward(self, profile: Array | None) -> tuple[float, Array | None]:
        """Return the mean number of inputs inside a window, and its profile along the output.

        Args:
            profile: profile along the input.
        """
        return relative(self.gathered(_of(profile, self.size)))

    def counts(self) -> Array:
        """Return the number of input positions inside each window, shape (out,)."""
        return self.gathered(np.ones(self.size))

    def common(self, offset: int) -> Array:
        """Return the number of input positions inside both of two windows ``offset`` outputs apart, for every pair;
        undilated.
        """
        start = np.arange(self.out - abs(offset)) * self.stride - self.padding
        first = start + abs(offset) * self.stride
        inside = np.minimum(start + self.kernel, self.size) - np.maximum(first, 0)
        return np.asarray(np.maximum(inside, 0), dtype=np.float64)

    def gathered(self, values: Array) -> Array:
        """Return the sum of ``values`` over each window, shape (out,)."""
        source, target = self._ends()
        return np.bincount(target, values[source], minlength=self.out).astype(np.float64)

    def shared(self, profile: Array | None) -> float:
        """Return the mean share of the kernel's taps that are inside for both of two outputs.

        Near a border some taps lie outside, and distant positions lose different taps. Positions with equal correlation
        share in proportion to the roots of their second moments.
        """
        source, target = self._ends()
        if self.transposed:
            return self.forward(profile)[0] * self.stride / self.kernel
        root = np.sqrt(_of(profile, self.size))
        tap = (source - target * self.stride + self.padding) // self.dilation
        inside = np.bincount(tap, root[source] / root.mean(), minlength=self.kernel) / self.out
        return float((inside**2).mean())

    def neighbouring(self, profile: Array | None) -> float:
        """Return the same share for two adjacent outputs, in pairs that tile the axis."""
        if self.transposed or self.out < 2 or self.size < 2:
            return self.shared(profile)
        source, target = self._ends()
        root = np.sqrt(_of(profile, self.size))
        tap = (source - target * self.stride + self.padding) // self.dilation
        inside = np.zeros((self.kernel, self.out))
        inside[tap, target] = root[source]
        before, both = root[: self.size // 2 * 2], inside[:, : self.out // 2 * 2]
        own = float((before[1::2] * before[::2]).mean())
        if own <= 0:  # no two adjacent positions inside
            return self.shared(profile)
        return float((both[:, 1::2] * both[:, ::2]).mean()) / own

    def overlap(self, profile: Array | None) -> Overlap:
        """Return the taps that two outputs share, pair by pair; all ones for a transposed window."""
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
        """Return the mean number of outputs that two different inputs reach by the same taps."""
        source, target = self._ends()
        wide, narrow = (source, target) if self.transposed else (target, source)
        tap = (narrow - wide * self.stride + self.padding) // self.dilation
        return float(((np.bincount(tap, minlength=self.kernel) / self.size) ** 2).sum())

    def backward(self, profile: Array | None) -> tuple[float, Array | None]:
        """Return the mean number of outputs that an input reaches, and its profile along the input."""
        return relative(self.returned(_of(profile, self.out)))

    def returned(self, values: Array) -> Array:
        """Return the sum of ``values`` along the output over the outputs that each input reaches, shape (size,)."""
        source, target = self._ends()
        return np.bincount(source, values[target], minlength=self.size).astype(np.float64)


def _of(profile: Array | None, size: int) -> Array:
    """Return a profile as an array; constant where it is None or belongs to another axis."""
    return np.ones(size) if profile is None or profile.size != size else profile


def relative(sums: Array) -> tuple[float, Array | None]:
    """Return the mean, and the values divided by it; None in place of constant values."""
    mean = float(sums.mean())
    if not mean > 0:
        return 0.0, None
    parts = sums / mean
    return mean, None if float(np.abs(parts - 1).max()) < _FLAT else parts
