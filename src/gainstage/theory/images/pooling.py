"""Maxima over windows: order statistics of Gaussian positions."""

from __future__ import annotations

import numpy as np

from gainstage.errors import InputError
from gainstage.theory.activations import Array, elementary
from gainstage.theory.gaussian.quadrature import NODES, WEIGHTS, panels

__all__ = ["shared_maximum_correlation"]

_REACH, _WIDTH = 9.0, 0.75


def shared_maximum_correlation(places: int, shared: int) -> float:
    """Correlation between the maxima of two windows of independent Gaussian positions that share some positions.

    Overlapping windows (size 3, stride 2) give correlated outputs for independent inputs, so that a later average over
    positions reduces the variance by less than the number of positions.

    Args:
        places: number of positions in one window.
        shared: number of positions in both windows, from 0 to ``places``.

    Returns:
        the correlation, from 0 (nothing shared) to 1 (the same window).

    Raises:
        InputError: a count out of range.

    >>> from gainstage.theory import shared_maximum_correlation
    >>> [round(shared_maximum_correlation(9, shared), 3) for shared in (0, 3, 9)]
    [0.0, 0.279, 1.0]
    """
    if isinstance(places, bool) or not isinstance(places, (int, np.integer)) or places < 1:
        raise InputError(f"A window holds a whole number of places, at least 1; received {places!r}.")
    if isinstance(shared, bool) or not isinstance(shared, (int, np.integer)) or not 0 <= shared <= places:
        raise InputError(f"Two windows of {places} share a whole number from 0 to {places}; received {shared!r}.")
    if shared in (0, places):
        return float(shared == places)
    mean, square = _normal_maximum(places)
    z, weight = _gaussian(panels((), _REACH, _WIDTH))
    own = places - shared
    # E max(s, M), M the maximum of the places of one window alone: s F(s) + what M adds above s.
    edges = panels((), _REACH, _WIDTH)
    above = np.array([_tail(own, s, edges) for s in z.tolist()])
    either = z * elementary.normal_cdf(z) ** own + above
    density = shared * elementary.normal_cdf(z) ** (shared - 1)
    return float(((weight * density) @ either**2 - mean**2) / (square - mean**2))


def _gaussian(edges: Array) -> tuple[Array, Array]:
    """Return quadrature nodes between the edges, with weights under the standard normal density."""
    half = (edges[1:] - edges[:-1])[:, None] / 2
    z = (edges[1:] + edges[:-1])[:, None] / 2 + half * NODES
    return z.ravel(), (half * WEIGHTS * elementary.normal_pdf(z)).ravel()


def _normal_maximum(places: int) -> tuple[float, float]:
    """Return mean and second moment of the maximum of k independent standard normals, of density k n(z) Φ(z)^(k-1)."""
    z, weight = _gaussian(panels((), _REACH, _WIDTH))
    density = weight * places * elementary.normal_cdf(z) ** (places - 1)
    return float(density @ z), float(density @ (z * z))


def _tail(places: int, start: float, edges: Array) -> float:
    """Return E max of independent standard normals restricted to values above ``start``."""
    z, weight = _gaussian(np.unique(np.clip(np.append(edges, start), start, None)))
    return float((weight * places * elementary.normal_cdf(z) ** (places - 1)) @ z)
