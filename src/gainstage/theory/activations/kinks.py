"""Where a function is not smooth."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev

from gainstage.theory.activations.record import Array, Elementwise

__all__ = ["find_kinks"]

_REACH = 40.0
_TOLERANCE = 1e-10
_NARROW = 1e-3  # tanh(100 x) is smooth in cells four times as wide
_OVERLAP = 1.1  # of neighbouring cells, so that a kink on a border is seen
_FINEST = 1e-9
_MOST_CELLS = 8192
_DEGREE = 10


def _interpolation() -> tuple[Array, Array, Array]:
    """Nodes in a cell that is [-1, 1], places between them, and the matrix from values here to values there."""
    nodes = chebyshev.chebpts1(_DEGREE + 1)
    between = np.linspace(-0.97, 0.97, 2 * _DEGREE + 3)
    matrix = chebyshev.chebvander(between, _DEGREE) @ np.linalg.inv(chebyshev.chebvander(nodes, _DEGREE))
    return _OVERLAP * nodes, _OVERLAP * between, matrix


def find_kinks(function: Elementwise, limit: int = 64) -> tuple[float, ...]:
    """Cut the line until a polynomial fits in every cell; where that takes very small cells there is a kink.

    Args:
        function: elementwise, on float64 arrays.
        limit: the most kinks that are kept (the ones nearest to zero).

    Returns:
        The places in increasing order: jumps of f and f' to about nine decimals, jumps of f'' to about four.

    >>> import numpy as np
    >>> from gainstage.theory.activations.kinks import find_kinks
    >>> find_kinks(lambda x: np.clip(x, -1.0, 2.5))
    (-1.0, 2.5)
    """
    nodes, between, matrix = _interpolation()
    near = function(np.linspace(-3.0, 3.0, 601))
    scale = float(np.sqrt(np.mean(near * near)))

    def rough(left: Array, right: Array) -> npt.NDArray[np.bool_]:
        middle, half = (left + right)[:, None] / 2, (right - left)[:, None] / 2
        there = function(middle + half * between)
        with np.errstate(all="ignore"):
            error = np.abs(function(middle + half * nodes) @ matrix.T - there).max(-1)
        return np.asarray(~(error <= _TOLERANCE * (scale + np.abs(there).max(-1))))

    # Off the round numbers: a kink should lie within a cell.
    edges = np.linspace(-_REACH - 0.0371, _REACH + 0.0413, 162)
    left, right = edges[:-1], edges[1:]
    keep = rough(left, right)
    left, right = left[keep], right[keep]
    found: list[tuple[float, float]] = []
    while 0 < left.size <= _MOST_CELLS:
        middle = (left + right) / 2
        lower, upper = rough(left, middle), rough(middle, right)
        width = right - left
        # Either the cell cannot be cut further, or both halves are smooth enough: a jump of f'' alone.
        ends = (width < _FINEST) | (~lower & ~upper & (width < _NARROW))
        found += zip(left[ends].tolist(), right[ends].tolist(), strict=True)
        left, right = (
            np.concatenate((left[lower & ~ends], middle[upper & ~ends])),
            np.concatenate((middle[lower & ~ends], right[upper & ~ends])),
        )
    return _distinct(found, limit)


def _distinct(cells: list[tuple[float, float]], limit: int) -> tuple[float, ...]:
    """One place for neighbouring cells, a round number where there is one inside."""
    places: list[float] = []
    end = -math.inf
    for left, right in sorted(cells):
        if left > end + 2 * (right - left):
            places.append(_roundest(left, right))
        end = max(end, right)
    return tuple(sorted(sorted(places, key=abs)[:limit]))


def _roundest(left: float, right: float) -> float:
    middle, slack = (left + right) / 2, 2 * (right - left)
    for digits in range(13):
        if abs(round(middle, digits) - middle) <= slack:
            return round(middle, digits) + 0.0
    return middle
