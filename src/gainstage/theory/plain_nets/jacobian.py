"""Spectrum of the input-output Jacobian of a deep plain net: its distance from an isometry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory.activations import Activation, Elementwise, activation
from gainstage.theory.gaussian.moments import gaussian_moments
from gainstage.theory.gaussian.shifted import shifted_moments

__all__ = ["Ensemble", "JacobianMoments", "jacobian_moments"]

Ensemble = Literal["gaussian", "orthogonal"]
_S1 = {"gaussian": -1.0, "orthogonal": 0.0}  # the first coefficient of the S-transform of WᵀW


@dataclass(frozen=True, slots=True)
class JacobianMoments:
    """Moments of the squared singular values of the Jacobian of L layers.

    Args:
        mean: their mean: growth of the gradient's second moment over all layers.
        relative_variance: their variance over the square of their mean; 0 is an isometry.
    """

    mean: float
    relative_variance: float

    @property
    def second_moment(self) -> float:
        """The mean of the fourth powers of the singular values."""
        return self.mean**2 * (1 + self.relative_variance)


def jacobian_moments(
    kind: str | Activation | Elementwise,
    depth: int,
    *,
    q: float = 1.0,
    sigma_w: float | None = None,
    weights: Ensemble = "gaussian",
) -> JacobianMoments:
    """Mean and variance of the squared singular values, in the limit of wide square layers at a level that is kept.

    The mean is (σ_w² μ_1)^L, the variance over its square L (μ_2/μ_1² - 1 - s_1), with μ_k = E f'^(2k) and s_1 = -1 for
    Gaussian weights, 0 for orthogonal ones. relu is never an isometry; tanh with orthogonal weights and small q is.

    Args:
        kind: a name, a function of a float64 array, or an ``Activation``.
        depth: layers, at least 1.
        q: the level of the pre-activations.
        sigma_w: standard deviation of the weights times √fan_in; by default the critical one, 1/√μ_1.
        weights: how they are drawn.

    Raises:
        UnknownNameError: no such activation or ensemble.
        InputError: an argument out of range, or a function without a slope at that level.

    Source: Pennington, Schoenholz and Ganguli 2018, eq. 16 and 17.

    >>> from gainstage.theory import jacobian_moments
    >>> jacobian_moments("linear", 50, weights="orthogonal").relative_variance
    0.0
    >>> round(jacobian_moments("relu", 10).relative_variance, 6)      # 10 · (2 - 1 + 1)
    20.0
    """
    act = activation(kind)
    if weights not in get_args(Ensemble):
        raise UnknownNameError("ensemble of weights", weights, get_args(Ensemble))
    if isinstance(depth, bool) or not isinstance(depth, (int, np.integer)) or depth < 1:
        raise InputError(f"A depth is a whole number of layers, at least 1; received {depth!r} for '{act.label}'.")
    if sigma_w is not None and not (sigma_w > 0 and math.isfinite(sigma_w)):
        raise InputError(f"sigma_w is the spread of weights times √fan_in, finite and above 0; received {sigma_w!r}.")
    level = gaussian_moments(act, q).level
    slopes = shifted_moments(_slope(act), 0.0, level)
    first, second = float(slopes.second_moment), float(slopes.fourth_moment)
    if first <= 1e-15 * gaussian_moments(act, q).second_moment:
        raise InputError(f"'{act.label}' has no slope at level {q:g}: nothing passes back through it.")
    chi = 1.0 if sigma_w is None else sigma_w**2 * first
    try:
        mean = chi ** int(depth)
    except OverflowError:
        mean = math.inf
    return JacobianMoments(mean, depth * (second / first**2 - 1 - _S1[weights]))


def _slope(act: Activation) -> Activation:
    """Return f' as an activation of its own; its derivative is never used."""
    return Activation(act.derivative, act.derivative, act.kinks, name=act.name, label=act.label)
