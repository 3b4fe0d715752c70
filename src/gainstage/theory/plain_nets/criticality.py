"""The line between order and chaos, on which gradients neither vanish nor explode."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gainstage.errors import InputError
from gainstage.theory.activations import Activation, Elementwise, activation
from gainstage.theory.gaussian.moments import gaussian_moments
from gainstage.theory.plain_nets.gains import MARGIN
from gainstage.theory.plain_nets.roots import bracket, root

__all__ = ["CriticalPoint", "critical_line", "critical_point"]

_SMALL = 1e-4  # a level near zero that shows whether zero is stable


@dataclass(frozen=True, slots=True)
class CriticalPoint:
    """One point of the critical line.

    Args:
        level: the level that is kept there, a second moment.
        sigma_w: standard deviation of the weights times √fan_in.
        sigma_b: standard deviation of the biases.
        chi_q: the factor on an error of the level per layer.
    """

    level: float
    sigma_w: float
    sigma_b: float
    chi_q: float

    @property
    def stable(self) -> bool:
        """Whether the net stays at that level; where it does not the point cannot be used."""
        return self.chi_q <= 1 + MARGIN


def critical_line(kind: str | Activation | Elementwise, q: float) -> CriticalPoint:
    """The spreads that keep level q with a gradient factor of exactly 1: σ_w² = 1/E f'², σ_b² = q - σ_w² E f².

    Args:
        kind: a name, a function of a float64 array, or an ``Activation``.
        q: the level; at 0 the limit of small levels.

    Raises:
        InputError: a level out of range; a derivative of zero; or no bias makes that level critical.

    >>> from gainstage.theory import critical_line
    >>> point = critical_line("tanh", 0.0)
    >>> round(point.sigma_w, 6), round(point.sigma_b, 6)
    (1.0, 0.0)
    """
    act = activation(kind)
    point, bias = _at(act, q)
    if bias < -MARGIN * max(q, _SMALL):
        raise InputError(
            f"Level {q:g} of '{act.label}' is never critical: weights that keep gradients already give a higher one, "
            f"before any bias. Take another level, or a normalisation."
        )
    return point


def critical_point(kind: str | Activation | Elementwise, sigma_b: float = 0.0) -> CriticalPoint:
    """The critical point of the lowest level that belongs to a spread of the biases.

    Raises:
        InputError: a negative spread, or no level (up to 10⁴) is critical with it.

    >>> from gainstage.theory import critical_point
    >>> round(critical_point("tanh", 0.3).sigma_w, 5), round(critical_point("relu").sigma_w, 6)
    (1.39558, 1.414214)
    """
    act = activation(kind)
    if not (sigma_b >= 0 and math.isfinite(sigma_b)):
        raise InputError(f"sigma_b is the spread of biases, finite and at least 0; received {sigma_b!r}.")
    if act.homogeneous and sigma_b == 0:
        return _at(act, 1.0)[0]
    if sigma_b == 0 and _sloped(act, 0.0) and abs(_at(act, 0.0)[1]) < 1e-15:
        return _at(act, 0.0)[0]

    def surplus(level: float) -> float:
        # Without a slope the weights' share is negligible against the level.
        return (_at(act, level)[1] if _sloped(act, level) else level) - sigma_b**2

    found = None if act.homogeneous else bracket(surplus, 1e-10, 1.5, 1e4)
    if found is None:
        raise InputError(f"'{act.label}' has no critical point with sigma_b = {sigma_b:g} at any level up to 10⁴.")
    return _at(act, root(surplus, *found))[0]


def _at(act: Activation, q: float) -> tuple[CriticalPoint, float]:
    """Return the critical point at a level, and its bias variance, which may be negative."""
    moments = gaussian_moments(act, q)
    if not _sloped(act, q):
        raise InputError(f"'{act.label}' has no slope at level {q:g}: no weights make it critical.")
    weight = 1 / moments.derivative_second_moment
    bias = moments.level - weight * moments.second_moment
    near = gaussian_moments(act, max(q, _SMALL))
    chi_q = weight * near.z_f_fprime / math.sqrt(near.level)
    return CriticalPoint(float(q), math.sqrt(weight), math.sqrt(max(bias, 0.0)), chi_q), bias


def _sloped(act: Activation, q: float) -> bool:
    """Report whether the derivative is nonzero at that level."""
    unit = gaussian_moments(act, 1.0)
    size = max(unit.derivative_second_moment, unit.second_moment)
    return gaussian_moments(act, q).derivative_second_moment > 1e-15 * size
