"""Expectations of functions of one nearly Gaussian variable and of two correlated ones."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np

from gainstage.propagation.function import Function
from gainstage.theory.activations import Array
from gainstage.theory.gaussian.quadrature import FEATURES, NODES, WEIGHTS, panels

__all__ = ["Expectation", "Expectations", "Marginal"]

_REACH = 14.0
_NOT_ONE = 0.9  # at correlation 1 the slope of a jump is infinite
_TERMS = 24  # of the Hermite series; the remainder is known, and decays faster


@dataclass(frozen=True, slots=True)
class Marginal:
    """The distribution of one element x.

    Args:
        mean: m = E x.
        variance: v = Var x.
        skew: E (x - m)³ / v^(3/2).
        excess: E (x - m)⁴ / v² - 3.
    """

    mean: float
    variance: float
    skew: float = 0.0
    excess: float = 0.0


@dataclass(frozen=True, slots=True)
class Expectation:
    """Moments of f(x) over one marginal.

    Args:
        mean: E f.
        second: E f².
        third: E f³.
        fourth: E f⁴.
        slope_second: E f'².
        slope_fourth: E f'⁴.
        response: d log E f² / d log Var x, of a Gaussian x at fixed mean.
        scaling: d log E f(s x)² / d log s², with the mean scaled too.
        lifting: d (E f)² / d log Var x at fixed mean.
        zero: probability of f = 0 exactly.
        series: squared Hermite coefficients of f, for pairs.
        slopes: squared Hermite coefficients of f'.
        both: squared Hermite coefficients of f² / E f², the constant one set to 0, for squares at two observations.
        bends: products of the Hermite coefficients of f with those of f'' · Var x.
    """

    mean: float
    second: float
    third: float
    fourth: float
    slope_second: float
    slope_fourth: float
    response: float
    scaling: float
    lifting: float
    zero: float
    series: Array = field(repr=False)
    slopes: Array = field(repr=False)
    both: Array = field(repr=False)
    bends: Array = field(repr=False)

    def pair(self, correlation: float) -> float:
        """Return E f(u) f(v) for u and v with this correlation."""
        return _pair(self.series, self.second, correlation)

    def pairs(self, correlations: Array) -> Array:
        """Return E f(u) f(v) for an array of correlations."""
        c = np.clip(correlations, -1.0, 1.0)
        known = np.polynomial.polynomial.polyval(c, self.series)
        return np.asarray(known + max(self.second - float(self.series.sum()), 0.0) * c**self.series.size)

    def together(self, correlations: Array) -> Array:
        """Return Cov(f(u)², f(v)²) / (E f²)² for an array of correlations."""
        c = np.clip(correlations, -1.0, 1.0)
        whole = max(self.fourth / self.second**2 - 1, 0.0) if self.second > 0 else 0.0
        rest = max(whole - float(self.both.sum()), 0.0)
        return np.asarray(np.polynomial.polynomial.polyval(c, self.both) + rest * c**self.both.size)

    @property
    def curvature(self) -> float:
        """Half of the second derivative of ``together`` at correlation 0."""
        return float(self.both[2]) if self.both.size > 2 else 0.0

    def steepness(self, correlation: float) -> float:
        """Return d E f(u) f(v) / dc at correlation c: E f'(u) f'(v) · Var x where f is differentiable."""
        c = min(max(correlation, -_NOT_ONE), _NOT_ONE)
        return float(np.polynomial.polynomial.polyval(c, self.series[1:] * np.arange(1, self.series.size)))

    def bend(self, correlation: float) -> float:
        """Return E f''(u) f(v) · Var x, also for functions with jumps."""
        c = min(max(correlation, -_NOT_ONE), _NOT_ONE)
        return float(np.polynomial.polynomial.polyval(c, self.bends))

    def slope_pair(self, correlation: float) -> float:
        """Return E f'(u) f'(v)."""
        return _pair(self.slopes, self.slope_second, correlation)


def _pair(series: Array, total: float, c: float) -> float:
    c = min(max(c, -1.0), 1.0)
    known = float(np.polynomial.polynomial.polyval(c, series))
    return known + max(total - float(series.sum()), 0.0) * c**series.size


class Expectations:
    """A cache of expectations, one for each prediction."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Expectation] = {}

    def of(self, function: Function, marginal: Marginal, largest_of: int = 1, common: float = 0.0) -> Expectation:
        """Return the moments of a function.

        Args:
            function: f.
            marginal: distribution of x: a Gaussian corrected by two terms of Edgeworth's series.
            largest_of: x is the largest of so many values, as behind max pooling.
            common: correlation of those values.
        """
        key = (function.key, marginal, largest_of, common if largest_of > 1 else 0.0)
        if key not in self._known:
            self._known[key] = _expectation(function, marginal, largest_of, common)
        return self._known[key]


def _expectation(function: Function, marginal: Marginal, largest_of: int, common: float) -> Expectation:
    spread = math.sqrt(max(marginal.variance, 0.0))
    if spread == 0.0:
        return _constant(function, marginal.mean)
    breaks = [(kink - marginal.mean) / spread for kink in (*function.kinks, *FEATURES, 0.0)]
    edges = panels([b for b in breaks if abs(b) < _REACH], _REACH)
    left, right = edges[:-1, None], edges[1:, None]
    half = (right - left) / 2
    z = ((left + right) / 2 + half * NODES).ravel()
    gaussian = (half * WEIGHTS).ravel() * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    weight = gaussian * _edgeworth(z, marginal.skew, marginal.excess)
    if largest_of > 1:
        gaussian = weight = (half * WEIGHTS).ravel() * _density_of_largest(z, largest_of, common)
    with np.errstate(all="ignore"):
        x = marginal.mean + spread * z
        f, d = function.value(x), function.slope(x)
        powers = np.stack([f, f * f, f**3, f**4, d * d, d**4, (f == 0.0).astype(float)])
        hermite = _hermite(z)
        both = np.stack([f, d, f * f]) * gaussian
        coefficients = both @ hermite.T
        bare = float(gaussian @ (f * f))
        # E f f' z √v and E f f' x by Stein's lemma, which holds for functions with jumps as well.
        wider, further = float(gaussian @ (f * f * (z * z - 1))), float(gaussian @ (f * f * z)) * marginal.mean / spread
        known = bare > 0 and math.isfinite(bare)
        response, scaling = (wider / 2 / bare, (wider + further) / 2 / bare) if known else (1.0, 1.0)
        lifting = float(gaussian @ f) * float(gaussian @ (d * z)) * spread
    means = powers @ weight
    series, slopes, squares = coefficients**2
    order = np.arange(series.size - 2)
    bends = np.sqrt((order + 1) * (order + 2)) * coefficients[0][:-2] * coefficients[0][2:]
    if marginal.skew or marginal.excess:
        series = _moved(series, bare, float(means[0]), float(means[1]))
        slopes = _moved(slopes, float(gaussian @ (d * d)), float(d @ weight), float(means[4]))
    with_own_cause = [float(v) for v in means]
    squares = _of_squares(squares, float(gaussian @ f**4), with_own_cause[1], with_own_cause[3])
    return Expectation(
        with_own_cause[0],
        max(with_own_cause[1], 0.0),
        with_own_cause[2],
        max(with_own_cause[3], 0.0),
        max(with_own_cause[4], 0.0),
        max(with_own_cause[5], 0.0),
        response,
        scaling,
        lifting,
        min(max(with_own_cause[6], 0.0), 1.0),
        series,
        slopes,
        squares,
        bends,
    )


def _moved(series: Array, bare: float, mean: float, second: float) -> Array:
    """Rescale a Hermite series to the mean and second moment that Edgeworth's terms give."""
    varies, left = bare - float(series[0]), max(second, 0.0) - mean**2
    if not (varies > 0 and left > 0 and math.isfinite(varies)):
        return series
    return np.concatenate(([mean**2], series[1:] * (left / varies)))


def _of_squares(squares: Array, bare: float, second: float, fourth: float) -> Array:
    """Normalize the Hermite series of f² by (E f²)², without its constant term; Edgeworth's terms rescale all of it."""
    varies, left = bare - float(squares[0]), max(fourth - second**2, 0.0)
    if not (second > 0 and varies > 0 and math.isfinite(varies) and math.isfinite(left)):
        return np.zeros(1)
    return np.concatenate(([0.0], squares[1:] * (left / varies) / second**2))


def _density_of_largest(z: Array, count: int, common: float) -> Array:
    """Return the density of the largest of ``count`` standard normal values with pairwise correlation ``common``."""
    from scipy.special import ndtr

    shared = min(max(common, 0.0), 0.999)
    c = np.linspace(-6.0, 6.0, 241) if shared > 0 else np.zeros(1)
    weight = np.exp(-0.5 * c * c)
    weight /= weight.sum()
    own = math.sqrt(1 - shared)
    inner = (z[:, None] - math.sqrt(shared) * c) / own
    density = count * np.exp(-0.5 * inner * inner) / math.sqrt(2 * math.pi) / own * ndtr(inner) ** (count - 1)
    return np.asarray(density @ weight)


def _constant(function: Function, mean: float) -> Expectation:
    with np.errstate(all="ignore"):
        f, d = float(function.value(np.array([mean]))[0]), float(function.slope(np.array([mean]))[0])
    series = np.array([f * f]), np.array([d * d]), np.zeros(1), np.zeros(1)
    return Expectation(f, f * f, f**3, f**4, d * d, d**4, 1.0, 1.0, 0.0, float(f == 0.0), *series)


def _edgeworth(z: Array, skew: float, excess: float) -> Array:
    """Return Edgeworth's density over the normal one: first order in each cumulant, second order in the skewness."""
    if not skew and not excess:
        return np.ones_like(z)
    z2 = z * z
    he3 = z * (z2 - 3)
    he4 = z2 * z2 - 6 * z2 + 3
    he6 = z2 * (z2 * (z2 - 15) + 45) - 15
    return np.asarray(1 + skew / 6 * he3 + excess / 24 * he4 + skew * skew / 72 * he6)


def _hermite(z: Array) -> Array:
    """Return orthonormal Hermite polynomials at z, shape (terms, points)."""
    rows = [np.ones_like(z), z]
    for n in range(1, _TERMS - 1):
        rows.append((z * rows[n] - math.sqrt(n) * rows[n - 1]) / math.sqrt(n + 1))
    return np.stack(rows)
