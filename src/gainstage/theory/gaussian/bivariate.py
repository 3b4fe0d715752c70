"""Means of products over two correlated Gaussian inputs."""

from __future__ import annotations

import math

import numpy as np

from gainstage.errors import InputError
from gainstage.theory.activations import Activation, Array, Elementwise, activation
from gainstage.theory.gaussian.moments import gaussian_moments
from gainstage.theory.gaussian.quadrature import FEATURES, NODES, WEIGHTS, panels, reach_of

__all__ = ["correlated_moments"]

_REACH = 9.0
_WIDTH = 1.5
_WIDE = 3.0  # from this spread on, panels need edges where activations bend
_FRINGE = (-8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0)


def correlated_moments(kind: str | Activation | Elementwise, q: float, c: float) -> tuple[float, float]:
    """E f(u) f(v) and E f'(u) f'(v) for u, v ~ N(0, q) with correlation c, to about nine digits.

    Args:
        kind: a name, a function of a float64 array, or an ``Activation``.
        q: the level of both.
        c: their correlation, from -1 to 1.

    Returns:
        Both means.

    Raises:
        InputError: a level or correlation out of range, or infinite moments.

    >>> from gainstage.theory import correlated_moments
    >>> [round(mean, 9) for mean in correlated_moments("linear", 2.0, 0.3)]
    [0.6, 1.0]
    """
    act = activation(kind)
    if not -1 <= c <= 1:
        raise InputError(f"A correlation lies between -1 and 1; received c = {c!r} for '{act.label}'.")
    moments = gaussian_moments(act, q)
    rest = math.sqrt((1 - c) * (1 + c))
    if q == 0 or (c > 0 and rest < 1e-7):
        return moments.second_moment, moments.derivative_second_moment
    spread = math.sqrt(q)
    bends = np.asarray((*act.kinks, 0.0, *FEATURES) if spread > _WIDE else act.kinks) / spread
    reach = reach_of(act, np.asarray(0.0), np.asarray(spread), _REACH)
    bends = bends[np.abs(bends) < 2 * reach]
    # The inner mean, as a function of z, bends over the width rest/c where c z meets a kink.
    kinks = np.asarray(act.kinks) / spread
    fringe = [] if c == 0 else [(kink + rest * step) / c for kink in kinks for step in _FRINGE]
    edges = panels((*bends, *fringe), reach, _WIDTH)
    z, weight = _nodes(edges)
    inner = _inner_means(act, spread, c * z, max(rest, 1e-7), bends, reach)
    u = spread * z
    return float((weight * act.function(u)) @ inner[0]), float((weight * act.derivative(u)) @ inner[1])


def _nodes(edges: Array) -> tuple[Array, Array]:
    """Places and Gaussian weights of panels between edges along the last axis."""
    left, right = edges[..., :-1, None], edges[..., 1:, None]
    half = (right - left) / 2
    z = (left + right) / 2 + half * NODES
    weight = half * WEIGHTS * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    shape = (*edges.shape[:-1], -1)
    return z.reshape(shape), weight.reshape(shape)


def _inner_means(
    act: Activation, spread: float, centre: Array, width: float, bends: Array, reach: float
) -> tuple[Array, Array]:
    """E f(spread (centre + width z)) and the same of f', for every centre: panels end where f bends."""
    grid = panels((), reach, _WIDTH)
    moving = np.clip((bends - centre[:, None]) / width, -reach, reach)
    edges = np.sort(np.concatenate((np.broadcast_to(grid, (centre.size, grid.size)), moving), -1), -1)
    z, weight = _nodes(edges)
    x = spread * (centre[:, None] + width * z)
    return (weight * act.function(x)).sum(-1), (weight * act.derivative(x)).sum(-1)
