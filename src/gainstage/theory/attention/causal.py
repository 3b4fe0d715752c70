"""Causal attention row by row, for rows that attend to few keys and to many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from gainstage.theory.activations import Array
from gainstage.theory.attention.moments import TwoRows
from gainstage.theory.gaussian.laplace import Lattice

__all__ = ["CausalRows", "causal_rows"]

_EVEN = 0.02  # below this variance, a first-order expansion around uniform weights suffices
_KNOTS = 7


@dataclass(frozen=True, slots=True)
class CausalRows:
    """Moments of the attention weights a of rows with different lengths.

    Args:
        concentration: E Σ a² of each row, shape (rows,).
        jacobian: E Σ (∂a/∂s)² of each row, s the scores, shape (rows,).
        overlap: E Σ a b of each pair of rows, over the keys of the shorter one, shape (rows, rows).
        steepness: d E Σ a² / d variance of the scores, shape (rows,).
    """

    concentration: Array
    jacobian: Array
    overlap: Array
    steepness: Array

    @property
    def slopes(self) -> Array:
        """E Σ (∂a/∂s)(∂b/∂s) of each pair of rows, assumed to overlap as the weights do; exact for uniform weights."""
        root = np.sqrt(self.jacobian / np.maximum(self.concentration, 1e-300))
        return np.asarray(self.overlap * root[:, None] * root[None, :])


def causal_rows(variance: Array, length: Array, shorter: Array, longer: Array, correlation: float = 0.0) -> CausalRows:
    """Return the moments of a softmax over Gaussian scores, for every row and every pair of rows.

    Args:
        variance: variance of the scores of each row, shape (rows,).
        length: number of keys of each row, shape (rows,); not necessarily whole, since a row may represent several.
        shorter, longer: lengths of each pair of rows, shape (rows, rows).
        correlation: correlation of the scores that two rows give to one key.

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
    """Return concentration, Jacobian and steepness; by the heat equation dE f/dt is half of the mean Laplacian of f."""
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
    """Interpolate the overlap of pairs of rows: longer length times overlap is smooth in the logarithms of both
    lengths.
    """
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
