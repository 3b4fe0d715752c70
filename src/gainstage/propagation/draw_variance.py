"""Draw-to-draw variance of the logarithm of a second moment, cause by cause.

The deviation that one weight's draw causes in a residual stream returns in every later norm and every gradient through
it. Such deviations add up with their sign; only deviations of independent causes add up in squares. All deviations form
a vector, of which each layer changes one element and combines the rest linearly. A binary tree over blocks of causes
stores that vector. A subtree is a linear combination of a few older subtrees, so an operation costs the logarithm of
the number of causes: only the last causes are written anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from gainstage.theory.activations import Array

__all__ = ["NO_VARIANCE", "DrawVariance"]

_BLOCK = 64  # causes in one leaf
_TERMS = 3  # subtrees that a combination refers to at most; one of more terms is written out as a new subtree


@dataclass(frozen=True, slots=True, eq=False)
class _Leaf:
    """The deviations of up to ``_BLOCK`` causes; omitted trailing deviations are zero."""

    values: Array

    @property
    def height(self) -> int:
        return 0


@dataclass(frozen=True, slots=True, eq=False)
class _Branch:
    """Two combinations of subtrees that are one lower.

    Args:
        height: one more than that of the subtrees; leaves have height 0.
        left, right: the combinations.
        products: with branches, itself included, as far as they were asked for.
    """

    height: int
    left: _Combination
    right: _Combination
    products: dict[_Branch, float] = field(default_factory=dict, repr=False)


_Tree = _Leaf | _Branch
_Combination = tuple[tuple[float, _Tree], ...]
"""Factors and trees of one height. No terms are the vector without deviations."""


def _square(combination: _Combination) -> float:
    """Return the sum of the squares of all deviations."""
    own = sum((factor**2 * _product(tree, tree) for factor, tree in combination), start=0.0)
    crossed = sum((a * b * _product(x, y) for (a, x), (b, y) in combinations(combination, 2)), start=0.0)
    return max(own + 2 * crossed, 0.0)


def _product(one: _Tree, other: _Tree) -> float:
    """Return the sum of the products of two trees of one height, cause by cause."""
    if isinstance(one, _Leaf) or isinstance(other, _Leaf):
        assert isinstance(one, _Leaf)
        assert isinstance(other, _Leaf)
        shared = min(one.values.size, other.values.size)
        return float(one.values[:shared] @ other.values[:shared])
    if other not in one.products:
        sides = ((one.left, other.left), (one.right, other.right))
        one.products[other] = sum(a * b * _product(x, y) for xs, ys in sides for a, x in xs for b, y in ys)
    return one.products[other]


def _raised(combination: _Combination, height: int) -> _Combination:
    """Return the same vector as trees of a larger height."""
    while combination and combination[0][1].height < height:
        combination = ((1.0, _Branch(combination[0][1].height + 1, combination, ())),)
    return combination


def _only(number: int, value: float) -> _Combination:
    """Return the vector in which one cause alone deviates."""
    block, place = divmod(number, _BLOCK)
    values = np.zeros(place + 1)
    values[place] = value
    found: _Combination = ((1.0, _Leaf(values)),)
    for height in range(block.bit_length()):
        sides = ((), found) if block >> height & 1 else (found, ())
        found = ((1.0, _Branch(height + 1, *sides)),)
    return found


def _sum(*vectors: _Combination) -> _Combination:
    """Return the sum of vectors."""
    height = max((vector[0][1].height for vector in vectors if vector), default=0)
    factors: dict[_Tree, float] = {}
    for vector in vectors:
        for factor, tree in _raised(vector, height):
            factors[tree] = factors.get(tree, 0.0) + factor
    terms = tuple((factor, tree) for tree, factor in factors.items() if factor)
    return terms if len(terms) <= _TERMS else ((1.0, _written_out(terms)),)


def _written_out(terms: _Combination) -> _Tree:
    """Return one tree that equals a combination."""
    first = terms[0][1]
    if isinstance(first, _Leaf):
        leaves = [(factor, tree.values) for factor, tree in terms if isinstance(tree, _Leaf)]
        total = np.zeros(max(values.size for _, values in leaves))
        for factor, values in leaves:
            total[: values.size] += factor * values
        return _Leaf(total)
    branches = [(factor, tree) for factor, tree in terms if isinstance(tree, _Branch)]
    left = _sum(*(_times(factor, tree.left) for factor, tree in branches))
    right = _sum(*(_times(factor, tree.right) for factor, tree in branches))
    return _Branch(first.height, left, right)


def _times(factor: float, combination: _Combination) -> _Combination:
    return tuple((factor * own, tree) for own, tree in combination)


@dataclass(frozen=True, slots=True, eq=False)
class DrawVariance:
    """Variation of the logarithm of a second moment between draws of weights and batch, as a sum of independent causes.

    Every cause has a number and a deviation: its standard deviation, with the sign of its effect. Adding two records
    gives the variation of a product, subtracting that of a ratio, multiplying by a number that of a power.

    Args:
        deviations: the vector of all deviations.

    >>> one = NO_VARIANCE.with_cause(0, 0.04)
    >>> round((one + one).variance, 3), round((one + NO_VARIANCE.with_cause(1, 0.04)).variance, 3), (one - one).variance
    (0.16, 0.08, 0.0)
    """

    deviations: _Combination = ()

    @classmethod
    def mean(cls, weights: Sequence[float], parts: Sequence[DrawVariance]) -> DrawVariance:
        """The noise of a sum of which each part is that share.

        >>> one, other = NO_VARIANCE.with_cause(0, 0.04), NO_VARIANCE.with_cause(1, 0.04)
        >>> round(DrawVariance.mean((0.5, 0.5), (one, other)).variance, 3)
        0.02
        """
        scaled = (_times(w, part.deviations) for w, part in zip(weights, parts, strict=True) if w)
        return cls(_sum(*scaled))

    @property
    def variance(self) -> float:
        """The variance of the logarithm."""
        return _square(self.deviations)

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
