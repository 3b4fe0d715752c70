"""Moments of an activation's output and slope under a Gaussian input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gainstage.errors import InputError
from gainstage.theory.activations import Activation, Array, Elementwise, activation
from gainstage.theory.gaussian.quadrature import FEATURES, gaussian_means

__all__ = ["LIMIT", "GaussianMoments", "gaussian_moments"]

LIMIT = 1e-24
"""The level that stands for the limit of small levels."""


@dataclass(frozen=True, slots=True)
class GaussianMoments:
    """Moments of f(h) and f'(h) over a pre-activation h = √level · z, z ~ N(0, 1).

    Args:
        level: E h², the second moment of the pre-activation; 1e-24 stands for the limit of small levels.
        mean: E f(h).
        second_moment: E f(h)².
        fourth_moment: E f(h)⁴; infinite where it is beyond float64.
        derivative_mean: E f'(h), jumps of f left out as in backpropagation.
        derivative_second_moment: E f'(h)², likewise.
        z_f_fprime: E z f(h) f'(h), jumps of f counted: how E f² answers to the level.
        z_fprime: E z f'(h), jumps of f counted: how E f does.
    """

    level: float
    mean: float
    second_moment: float
    fourth_moment: float
    derivative_mean: float
    derivative_second_moment: float
    z_f_fprime: float
    z_fprime: float

    @property
    def variance(self) -> float:
        """Var f(h)."""
        return max(self.second_moment - self.mean**2, 0.0)

    @property
    def chi(self) -> float:
        """Growth of the gradient's second moment per layer, when the gain keeps the level: q E f'² / E f²."""
        return self.level * self.derivative_second_moment / self.second_moment

    @property
    def chi_centred(self) -> float:
        """The same when the bias takes the mean off: q E f'² / Var f, never below 1 (Poincaré's inequality)."""
        return self.level * self.derivative_second_moment / self.variance

    @property
    def slope(self) -> float:
        """The factor on an error of the level from layer to layer, when the gain keeps it: √q E[z f f'] / E f²."""
        return math.sqrt(self.level) * self.z_f_fprime / self.second_moment

    @property
    def slope_centred(self) -> float:
        """The same when the bias takes off the mean that f has at this level."""
        return math.sqrt(self.level) * (self.z_f_fprime - self.mean * self.z_fprime) / self.variance


def gaussian_moments(kind: str | Activation | Elementwise, q: float = 1.0) -> GaussianMoments:
    """Moments of f(√q z) for z ~ N(0, 1), to ten digits or more.

    Args:
        kind: a name, a function of a float64 array, or an ``Activation``.
        q: the level, E h² of the pre-activation; at 0 the limit of small levels.

    Raises:
        InputError: the level is negative or not finite, or f has no finite moments at it.

    >>> from gainstage.theory import gaussian_moments
    >>> moments = gaussian_moments("relu", q=4.0)
    >>> round(moments.second_moment, 12), round(moments.derivative_mean, 12)
    (2.0, 0.5)
    """
    act = activation(kind)
    if not (q >= 0 and math.isfinite(q)):
        raise InputError(f"A level is a second moment, finite and at least 0; received q = {q!r} for '{act.name}'.")
    if q == 1 and act.unit is not None:
        return GaussianMoments(1.0, *act.unit)
    # For the limit at 0: small enough to see f(0) and the slopes beside it, large enough for a fourth power.
    level = float(q) if q > 0 else LIMIT
    spread = math.sqrt(level)

    def integrand(z: Array) -> Array:
        f, d = act.function(spread * z), act.derivative(spread * z)
        return np.stack([f, f * f, f**4, d, d * d, z * f * d, z * d])

    bends = (*act.kinks, *FEATURES, 0.0) if spread > 1 else act.kinks
    means = gaussian_means(integrand, [bend / spread for bend in bends])
    means[-2:] += _jumps(act, spread)
    found = GaussianMoments(level, *means.tolist())
    if not all(map(math.isfinite, (found.mean, found.second_moment, found.derivative_second_moment))):
        raise InputError(f"'{act.name}' has infinite moments at level {q:g}: it grows too fast for a Gaussian input.")
    return found


def _jumps(act: Activation, spread: float) -> Array:
    """What jumps of f add to E z f f' and E z f'."""
    places = np.asarray(act.kinks)
    if not places.size:
        return np.zeros(2)
    nudge = 1e-8 * np.maximum(1.0, np.abs(places))
    # The limits from both sides, by a straight line through two places on each.
    before, after = (2 * act.function(places + n) - act.function(places + 2 * n) for n in (-nudge, nudge))
    jumped = np.abs(after - before) > 1e-5 * np.abs(act.function(places + np.array([[-1.0], [1.0]]))).max(0)
    z = (places / spread)[jumped]
    weight = z * np.exp(-0.5 * z * z) / (math.sqrt(2 * math.pi) * spread)
    squares, values = ((after**2 - before**2) / 2)[jumped], (after - before)[jumped]
    return np.array([(weight * squares).sum(), (weight * values).sum()])
