"""Draw-to-draw variance of the logarithm of a level, cause by cause.

What one weight does to the level of a stream, every later norm divides by, and every gradient on its way back meets
again and again. Such variation adds up with its sign, and only that of independent causes adds up in squares. The
deviations of all causes are a vector, of which thousands of layers each change one element and scale the rest. The
vector is therefore a binary tree over blocks of causes: two vectors share the blocks that they have in common up to a
factor, so an operation costs the logarithm of the number of causes where only the last ones differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gainstage.theory.activations import Array

__all__ = ["NO_VARIANCE", "DrawVariance"]

_BLOCK = 128  # causes in one leaf


@dataclass(frozen=True, slots=True, eq=False)
class _Leaf:
    """The deviations of up to ``_BLOCK`` causes; those that are left out at the end are zero."""

    values: Array
    square: float


@dataclass(frozen=True, slots=True, eq=False)
class _Branch:
    """Two subtrees of equal height, each times a factor; None where all causes of a side have no deviation.

    Args:
        height: of the subtrees; leaves have height 0.
        left, right: the factors and the subtrees.
        square: the sum of the squares of all deviations.
    """

    height: int
    left: _Scaled
    right: _Scaled
    square: float


_Tree = _Leaf | _Branch
_Scaled = tuple[float, _Tree | None]
_ZERO: _Scaled = (0.0, None)


def _joined(height: int, left: _Scaled, right: _Scaled) -> _Scaled:
    square = sum(factor**2 * tree.square for factor, tree in (left, right) if tree is not None)
    return 1.0, _Branch(height, left, right, square)


def _height(tree: _Tree) -> int:
    return 0 if isinstance(tree, _Leaf) else tree.height + 1


def _only(number: int, value: float) -> _Scaled:
    """The vector in which one cause alone deviates."""
    block, place = divmod(number, _BLOCK)
    values = np.zeros(place + 1)
    values[place] = value
    found: _Scaled = (1.0, _Leaf(values, value**2))
    for height in range(block.bit_length()):
        sides = (_ZERO, found) if block >> height & 1 else (found, _ZERO)
        found = _joined(height, *sides)
    return found


def _sum(one: _Scaled, other: _Scaled) -> _Scaled:
    """The sum of two vectors; what they have in common up to a factor is not looked into."""
    (a, x), (b, y) = one, other
    if x is None or a == 0:
        return other
    if y is None or b == 0:
        return one
    if x is y:
        return (a + b, x) if a + b else _ZERO
    while _height(x) < _height(y):
        (a, x) = _joined(_height(x), (a, x), _ZERO)
        assert x is not None
    while _height(y) < _height(x):
        (b, y) = _joined(_height(y), (b, y), _ZERO)
        assert y is not None
    if isinstance(x, _Leaf) and isinstance(y, _Leaf):
        return _sum_of_leaves(a, x.values, b, y.values)
    assert isinstance(x, _Branch)
    assert isinstance(y, _Branch)
    left = _sum(_times(a, x.left), _times(b, y.left))
    return _joined(x.height, left, _sum(_times(a, x.right), _times(b, y.right)))


def _times(factor: float, scaled: _Scaled) -> _Scaled:
    return factor * scaled[0], scaled[1]


def _sum_of_leaves(a: float, x: Array, b: float, y: Array) -> _Scaled:
    if x.size < y.size:
        a, x, b, y = b, y, a, x
    total = a * x
    total[: y.size] += b * y
    return 1.0, _Leaf(total, float(total @ total))


@dataclass(frozen=True, slots=True, eq=False)
class DrawVariance:
    """The variation of the logarithm of a level between draws of weights and batch: a sum of independent causes.

    Every cause has a number, and brings a deviation: its standard deviation, with the sign with which it acts.

    Args:
        deviations: a vector of all deviations, as a tree and a factor.

    >>> one = CALM.caused(0, 0.04)
    >>> round((one + one).variance, 3), round((one + CALM.caused(1, 0.04)).variance, 3), (one - one).variance
    (0.16, 0.08, 0.0)
    """

    deviations: _Scaled = _ZERO

    @property
    def variance(self) -> float:
        """Variance of the logarithm."""
        factor, tree = self.deviations
        return 0.0 if tree is None else factor**2 * tree.square

    def with_cause(self, number: int, variance: float) -> DrawVariance:
        """Add a cause of this variance, whose number no other cause has."""
        return DrawVariance(_sum(self.deviations, _only(number, math.sqrt(variance)))) if variance > 0 else self

    def __add__(self, other: DrawVariance) -> DrawVariance:
        """Return the noise of the product of both levels."""
        return DrawVariance(_sum(self.deviations, other.deviations))

    def __sub__(self, other: DrawVariance) -> DrawVariance:
        """Return the noise of the ratio of both levels."""
        return self + other * -1.0

    def __mul__(self, factor: float) -> DrawVariance:
        """Return the noise of the level to that power, or of a sum of which the level is that share."""
        return DrawVariance(_times(factor, self.deviations)) if factor else NO_VARIANCE

    def reduced_by(self, variance: float) -> DrawVariance:
        """Take off so much variance, from all causes in proportion."""
        whole = self.variance
        return self * math.sqrt(max(whole - variance, 0.0) / whole) if whole > 0 else self


NO_VARIANCE = DrawVariance()
"""All draws are alike."""
