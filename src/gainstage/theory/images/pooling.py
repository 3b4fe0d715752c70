"""Pooling: order statistics of correlated places for the maximum, and what an average leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gainstage.errors import InputError
from gainstage.theory.activations import Activation, Array, Elementwise, activation, elementary
from gainstage.theory.gaussian.quadrature import NODES, WEIGHTS, panels

__all__ = ["MaximumMoments", "average_pool_factor", "max_pool_moments", "shared_maximum_correlation"]

_REACH, _WIDTH = 9.0, 0.75
_COMMON = (7.5, 1.875)  # reach and width for the common part: what depends on it is smooth
_FINE = 3001  # places by which a function that is not monotone is ordered

_FEWER = np.polynomial.legendre.leggauss(10)


@dataclass(frozen=True, slots=True)
class MaximumMoments:
    """Moments of the maximum of f(h) over places, h Gaussian.

    Args:
        mean: E max f.
        second_moment: E (max f)².
        derivative_second_moment: E f'(h)² at the place that wins: the factor, through f, on the gradient that the
            winner gets.
    """

    mean: float
    second_moment: float
    derivative_second_moment: float

    @property
    def variance(self) -> float:
        """Var max f."""
        return max(self.second_moment - self.mean**2, 0.0)


def max_pool_moments(
    places: int,
    kind: str | Activation | Elementwise = "linear",
    *,
    mean: float = 0.0,
    variance: float = 1.0,
    correlation: float = 0.0,
) -> MaximumMoments:
    """The maximum of f(h) over places, h ~ N(mean, variance) and equally correlated between places.

    h is a common part of variance c v and independent parts of variance (1 - c) v; given the common part, the maximum
    of k places has the distribution function F^k.

    Backward, a window hands its gradient to one place: over non-overlapping windows of k places the gradient's second
    moment at the input is 1/k of that at the output (outputs/inputs in general), times ``derivative_second_moment``
    through f.

    Args:
        places: k, how many a window holds, at least 1.
        kind: f, between h and the maximum: a name, a function of a float64 array, or an ``Activation``.
        mean: of h.
        variance: of h around its mean.
        correlation: of h at two places around its mean, from 0 to 1; for ``linear`` down to -1/(k - 1).

    Raises:
        InputError: an argument out of range.

    >>> from gainstage.theory import max_pool_moments
    >>> pooled = max_pool_moments(4, "relu")
    >>> round(pooled.mean, 4), round(pooled.second_moment, 4)
    (1.0458, 1.5438)
    """
    act = activation(kind)
    _check(places, mean, variance, correlation, act)
    spread = math.sqrt(variance)
    if act.name == "linear" or places == 1 or correlation < 0:
        top, square = _normal_maximum(places)
        scatter = (1 - correlation) * (square - top**2) + correlation
        if act.name == "linear":
            centre = mean + spread * math.sqrt(1 - correlation) * top
            return MaximumMoments(centre, centre**2 + variance * max(scatter, 0.0), 1.0)
    common, own = spread * math.sqrt(correlation), spread * math.sqrt(1 - correlation)
    z, weight = _gaussian(panels((), *_COMMON), _FEWER) if common > 0 else (np.zeros(1), np.ones(1))
    values = np.stack([_given(act, places, mean + common * shift, own) for shift in z.tolist()])
    found = weight @ values
    if not np.isfinite(found).all():
        raise InputError(f"'{act.label}' has infinite moments for inputs of mean {mean!r} and variance {variance!r}.")
    return MaximumMoments(*found.tolist())


def shared_maximum_correlation(places: int, shared: int) -> float:
    """Correlation of the maxima of two windows of independent Gaussian places that share some of them.

    Overlapping windows (3 wide, 2 apart) give outputs that are alike even where inputs are not; an average over them
    has less to average away.

    Args:
        places: of one window.
        shared: of both, from 0 to ``places``.

    Raises:
        InputError: a count out of range.

    >>> from gainstage.theory import shared_maximum_correlation
    >>> [round(shared_maximum_correlation(9, shared), 3) for shared in (0, 3, 9)]
    [0.0, 0.279, 1.0]
    """
    _check(places, 0.0, 1.0, 0.0, activation("linear"))
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


def average_pool_factor(places: int, correlation: float = 0.0) -> float:
    """The factor of an average over k places on the second moment: r + (1 - r)/k.

    Backward, for independent gradients: outputs/inputs · 1/k.

    Args:
        places: how many are averaged, at least 1.
        correlation: of two places, uncentred (E x x' / E x²): the mean square pair of the window, for uneven ones.

    Raises:
        InputError: an argument out of range.

    >>> from gainstage.theory import average_pool_factor
    >>> average_pool_factor(4), average_pool_factor(4, correlation=1.0)
    (0.25, 1.0)
    """
    _check(places, 0.0, 1.0, correlation, activation("linear"))
    return max(correlation + (1 - correlation) / places, 0.0)


def _check(places: int, mean: float, variance: float, correlation: float, act: Activation) -> None:
    if isinstance(places, bool) or not isinstance(places, (int, np.integer)) or places < 1:
        raise InputError(f"A window holds a whole number of places, at least 1; received {places!r}.")
    if not (math.isfinite(mean) and math.isfinite(variance) and variance >= 0):
        raise InputError(
            f"The pooled signal has a finite mean and a variance of at least 0; received {mean!r} and {variance!r}."
        )
    least = -1 / (places - 1) if act.name == "linear" and places > 1 else 0.0
    if not least - 1e-12 <= correlation <= 1:
        raise InputError(
            f"{places} places of '{act.label}' have a correlation from {least:.3g} to 1; received {correlation!r}."
        )


def _gaussian(edges: Array, rule: tuple[Array, Array] = (NODES, WEIGHTS)) -> tuple[Array, Array]:
    half = (edges[1:] - edges[:-1])[:, None] / 2
    z = (edges[1:] + edges[:-1])[:, None] / 2 + half * rule[0]
    return z.ravel(), (half * rule[1] * elementary.normal_pdf(z)).ravel()


def _normal_maximum(places: int) -> tuple[float, float]:
    """Mean and second moment of the maximum of independent standard normals: the density is k n(z) Φ(z)^(k-1)."""
    z, weight = _gaussian(panels((), _REACH, _WIDTH))
    density = weight * places * elementary.normal_cdf(z) ** (places - 1)
    return float(density @ z), float(density @ (z * z))


def _tail(places: int, start: float, edges: Array) -> float:
    """E max of independent normals where it exceeds ``start``."""
    z, weight = _gaussian(np.unique(np.clip(np.append(edges, start), start, None)))
    return float((weight * places * elementary.normal_cdf(z) ** (places - 1)) @ z)


def _given(act: Activation, places: int, mean: float, spread: float) -> tuple[float, float, float]:
    """The three moments for independent places."""
    if spread == 0:
        f, d = act(mean), act.derivative(np.asarray(mean))
        return float(f), float(f) ** 2, float(d) ** 2
    z, weight = _gaussian(panels([(kink - mean) / spread for kink in act.kinks], _REACH, _WIDTH))
    x = mean + spread * z
    f, d = act.function(x), act.derivative(x)
    if (np.diff(f) >= -1e-12 * np.abs(f).max()).all():  # the largest h wins
        density = weight * places * elementary.normal_cdf(z) ** (places - 1)
        return float(density @ f), float(density @ (f * f)), float(density @ (d * d))
    # Otherwise order a fine grid of h by f: F is the normal weight of all that is below.
    z = np.linspace(-_REACH, _REACH, _FINE)
    f, d = act.function(mean + spread * z), act.derivative(mean + spread * z)
    order = np.argsort(f)
    share = elementary.normal_pdf(z)[order]
    below = np.cumsum(share)
    wins = np.diff((below / below[-1]) ** places, prepend=0.0)
    f, d = f[order], d[order]
    return float(wins @ f), float(wins @ (f * f)), float(wins @ (d * d))
