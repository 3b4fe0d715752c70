"""Means over Gaussian variables, by Gauss-Legendre panels that are cut where the integrand asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from gainstage.theory.activations import Activation, Array

__all__ = ["FEATURES", "NODES", "WEIGHTS", "gaussian_means", "panels", "reach_of"]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
NODES: Final[Array] = _NODES
WEIGHTS: Final[Array] = _WEIGHTS
"""Places and weights on [-1, 1]."""

FEATURES: Final = tuple(sign * 4.0**k for sign in (-1, 1) for k in range(-1, 6))
"""Where activations bend, in units of x: panels end here, so that a bend at a high level is not stepped over."""

_REACHES = (14.0, 38.0)  # the normal density is 1e-43 and 1e-314 there
_FAR = 36.0  # for functions that grow like an exponential; the density is 1e-282 there
_TOLERANCE = 1e-13
_SETTLED = 1e-8
_MOST_CUTS = 60
_MOST_PANELS = 4000


def panels(breaks: Iterable[float], reach: float, width: float = 1.0) -> Array:
    """Edges of panels over ±reach, no wider than ``width``, with an edge at every break."""
    grid = np.linspace(-reach, reach, math.ceil(2 * reach / width) + 1)
    inside = [b for b in breaks if -reach < b < reach]
    return np.unique(np.concatenate((grid, np.asarray(inside, dtype=np.float64))))


def reach_of(act: Activation, centre: Array, spread: Array, usual: float) -> float:
    """How many spreads out a square of f still counts: the usual number, unless f grows like an exponential."""
    near = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    with np.errstate(all="ignore"):
        ends, within = (
            np.square(act.function(centre[..., None] + spread[..., None] * z)).max(-1)
            for z in (usual * near[::4] / 2, near)
        )
        heavy = ends * math.exp(-0.5 * usual * usual) > 1e-9 * within
    return _FAR if np.any(heavy) else usual


def gaussian_means(integrand: Callable[[Array], Array], breaks: Iterable[float] = ()) -> Array:
    """E g(z) for z ~ N(0, 1), of several functions g at once, to about twelve digits.

    Args:
        integrand: places of shape (n,) to values of shape (k, n).
        breaks: places where a function is not smooth, as far as they are known.

    Returns:
        The means, shape (k,); infinite where a mean does not converge.

    >>> import numpy as np
    >>> from gainstage.theory.gaussian.quadrature import gaussian_means
    >>> gaussian_means(lambda z: np.stack([z**2, z**4])).round(12).tolist()
    [1.0, 3.0]
    """
    breaks = tuple(breaks)
    means = np.empty(0)
    for reach in _REACHES:
        means, tail = _integrate(integrand, panels(breaks, reach)), _at_the_end(integrand, reach)
        if (tail <= 1e-12 * np.abs(means) + 1e-290).all():
            return means
    return np.where(tail <= 1e-12 * np.abs(means) + 1e-290, means, np.inf)


def _integrate(integrand: Callable[[Array], Array], edges: Array) -> Array:
    left, right = edges[:-1], edges[1:]
    coarse = _panel_sums(integrand, left, right)
    total, scale = np.zeros(coarse.shape[0]), np.zeros(coarse.shape[0])
    error, lost = np.empty_like(coarse), ~np.isfinite(coarse).all(-1)
    for _ in range(_MOST_CUTS):
        middle = (left + right) / 2
        lower, upper = _panel_sums(integrand, left, middle), _panel_sums(integrand, middle, right)
        fine = lower + upper
        lost |= ~np.isfinite(fine).all(-1)  # beyond float64: refinement does not help
        fine[lost] = coarse[lost] = 0.0
        error = np.abs(fine - coarse)
        scale = np.maximum(scale, np.abs(total) + np.abs(fine).sum(-1))
        rough = ~(error <= _TOLERANCE * scale[:, None]).all(0)
        total += fine[:, ~rough].sum(-1)
        coarse, error = fine[:, rough], error[:, rough]
        if not rough.any() or 2 * coarse.shape[1] > _MOST_PANELS:
            break
        coarse = np.concatenate((lower[:, rough], upper[:, rough]), -1)
        left, right = (
            np.concatenate((left[rough], middle[rough])),
            np.concatenate((middle[rough], right[rough])),
        )
    # Panels that do not converge hold a jump or rounding noise of negligible weight, unless the integral diverges.
    settled = error.sum(-1) <= _SETTLED * scale
    return np.where(settled & ~lost, total + coarse.sum(-1), np.inf)


def _panel_sums(integrand: Callable[[Array], Array], left: Array, right: Array) -> Array:
    half = (right - left)[:, None] / 2
    z = (left + right)[:, None] / 2 + half * NODES
    density = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    with np.errstate(all="ignore"):
        values = integrand(z.ravel()).reshape(-1, *z.shape)
        return np.asarray((values * (density * half * WEIGHTS)).sum(-1))


def _at_the_end(integrand: Callable[[Array], Array], reach: float) -> Array:
    with np.errstate(all="ignore"):
        ends = np.abs(integrand(np.array([-reach, reach])))
    return np.asarray(ends.max(-1) * math.exp(-0.5 * reach * reach))
