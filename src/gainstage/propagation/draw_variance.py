"""Draw-to-draw variance of the logarithm of a second moment, cause by cause.

The deviation that one weight's draw causes in a residual stream returns in every later norm and every gradient through
it. Such deviations add up with their sign; only deviations of independent causes add up in squares. All deviations form
a vector, of which each layer changes one element and scales the rest. A binary tree over blocks of causes stores that
vector. Two vectors share the blocks that agree up to a factor, so an operation costs the logarithm of the number of
causes where only the last causes differ.
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
    """The deviations of up to ``_BLOCK`` causes; omitted trailing deviations are zero."""

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
    """Return the vector in which one cause alone deviates."""
    block, place = divmod(number, _BLOCK)
    values = np.zeros(place + 1)
    values[place] = value
    found: _Scaled = (1.0, _Leaf(values, value**2))
    for height in range(block.bit_length()):
        sides = (_ZERO, found) if block >> height & 1 else (found, _ZERO)
        found = _joined(height, *sides)
    return found


def _sum(one: _Scaled, other: _Scaled) -> _Scaled:
    """Return the sum of two vectors."""
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
    """Variation of the logarithm of a second moment between draws of weights and batch, as a sum of independent causes.

    Every cause has a number and a deviation: its standard deviation, with the sign of its effect. Adding two records
    gives the variation of a product, subtracting that of a ratio, multiplying by a number that of a power.

    Args:
        deviations: the vector of all deviations, as a factor and a tree.

    >>> one = NO_VARIANCE.with_cause(0, 0.04)
    >>> round((one + one).variance, 3), round((one + NO_VARIANCE.with_cause(1, 0.04)).variance, 3), (one - one).variance
    (0.16, 0.08, 0.0)
    """

    deviations: _Scaled = _ZERO

    @property
    def variance(self) -> float:
        """The variance of the logarithm."""
        factor, tree = self.deviations
        return 0.0 if tree is None else factor**2 * tree.square

    def with_cause(self, number: int, variance: float) -> DrawVariance:
        """Add an independent cause with this variance and a number that no other cause has."""
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
        """Subtract ``variance``, from all causes in proportion."""
        whole = self.variance
        return self * math.sqrt(max(whole - variance, 0.0) / whole) if whole > 0 else self


NO_VARIANCE = DrawVariance()
"""All draws are alike."""
