"""Causal attention row by row: rows that look back on few tokens, and on many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from gainstage.theory.activations import Array
from gainstage.theory.attention.moments import TwoRows
from gainstage.theory.gaussian.laplace import Lattice

__all__ = ["CausalRows", "causal_rows"]

_EVEN = 0.02  # below it a softmax is even but for terms of first order
_KNOTS = 7


@dataclass(frozen=True, slots=True)
class CausalRows:
    """Moments of the shares of softmax rows of different lengths.

    Args:
        concentration: E Σ a² of each row.
        jacobian: E Σ (∂a/∂s)² of each row.
        overlap: E Σ a b of each two rows, over the tokens of the shorter one.
        steepness: how the concentration answers to the variance of the scores, d E Σ a² / d variance.
    """

    concentration: Array
    jacobian: Array
    overlap: Array
    steepness: Array

    @property
    def slopes(self) -> Array:
        """E Σ (∂a/∂s)(∂b/∂s) of each two rows: they overlap as the shares do, exactly so where shares are even."""
        root = np.sqrt(self.jacobian / np.maximum(self.concentration, 1e-300))
        return np.asarray(self.overlap * root[:, None] * root[None, :])


def causal_rows(variance: Array, length: Array, shorter: Array, longer: Array, correlation: float = 0.0) -> CausalRows:
    """Softmax over Gaussian scores, for every row and every two rows.

    Args:
        variance: of the scores of each row.
        length: tokens that each row looks back on; need not be whole, since a row may stand for several.
        shorter, longer: lengths for each two rows, shape (rows, rows).
        correlation: of the scores that two rows give to one token.

    >>> import numpy as np
    >>> length = np.array([1.0, 2.0, 4.0])
    >>> rows = causal_rows(np.zeros(3), length, np.minimum.outer(length, length), np.maximum.outer(length, length))
    >>> rows.concentration.tolist(), rows.overlap[0].tolist()
    ([1.0, 0.5, 0.25], [1.0, 0.5, 0.25])
    """
    found = np.array([_row(t, n) for t, n in zip(variance.tolist(), length.tolist(), strict=True)])
    typical = float(variance @ length / length.sum())  # long rows have most of the pairs
    return CausalRows(found[:, 0], found[:, 1], _overlaps(typical, correlation, shorter, longer), found[:, 2])


def _row(t: float, n: float) -> tuple[float, float, float]:
    """Concentration, Jacobian and steepness; by the heat equation, d E f / dt is half of the mean of its Laplacian."""
    if n <= 1:
        return 1.0, 0.0, 0.0
    if t < _EVEN:
        rest = 1 - 1 / n
        return (1 + t * rest) / n, rest / n * (1 + t * (1 - 4 / n)), rest / n
    lattice = Lattice(t, int(np.ceil(n)))
    single, double = n * lattice.power(n - 1), n * (n - 1) * lattice.power(max(n - 2, 0.0))
    second = lattice.exponential(2)
    square = lattice.total(second * single)
    cube = lattice.total(lattice.exponential(3) * single) / 2
    fourth = lattice.total(lattice.exponential(4) * single) / 6 + lattice.total(second * second * double) / 6
    return square, max(square - 2 * cube + fourth, 0.0), square - 4 * cube + 3 * fourth


def _overlaps(t: float, correlation: float, shorter: Array, longer: Array) -> Array:
    """Longer length times overlap is close to one and smooth in the logarithms of both lengths."""
    alike = t * correlation
    if abs(alike) < 1e-9 or t < _EVEN:
        return np.asarray((1 + alike * (1 - 1 / np.maximum(longer, 1.0))) / longer)
    low, high = float(shorter.min()), float(longer.max())
    knots = np.geomspace(max(low, 1.0), max(high, low + 1.0), _KNOTS)
    rows = TwoRows(t, int(np.ceil(high)), correlation)
    table = np.empty((_KNOTS, _KNOTS))
    for i, one in enumerate(knots.tolist()):
        for j, other in enumerate(knots[: i + 1].tolist()):
            table[i, j] = table[j, i] = rows.overlap(other, one) * one
    logs = np.log(knots)
    between = RegularGridInterpolator((logs, logs), table, bounds_error=False, fill_value=None)
    places = np.stack((np.log(np.maximum(longer, 1.0)), np.log(np.maximum(shorter, 1.0))), -1)
    return np.asarray(np.minimum(between(places) / longer, 1.0))
