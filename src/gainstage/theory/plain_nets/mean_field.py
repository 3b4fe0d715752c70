"""Mean field theory of a wide plain net h' = W f(h) + b, Var W = σ_w²/fan_in, Var b = σ_b².

Levels are second moments over weights at a fixed input, correlations those of two inputs over weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gainstage.errors import InputError, require_number
from gainstage.theory.activations import Activation, Elementwise, activation
from gainstage.theory.gaussian.bivariate import correlated_moments
from gainstage.theory.gaussian.moments import gaussian_moments
from gainstage.theory.plain_nets.roots import bracket, root

__all__ = ["CRITICAL", "MeanField", "Regime", "correlation_map", "fixed_level", "meanfield", "variance_map"]

Regime = Literal["ordered", "critical", "chaotic", "divergent"]

_LOWEST, _HIGHEST = 1e-12, 1e12
_NEAR = 1e-6
_ROUNDING = 1e-13  # where a signal dies out the map is c itself
CRITICAL = 1e-6  # a depth scale above a million layers is critical for every net there is


@dataclass(frozen=True, slots=True)
class MeanField:
    """Where the signal of a deep plain net settles, and how fast.

    Args:
        activation: its label.
        sigma_w: standard deviation of the weights times √fan_in.
        sigma_b: standard deviation of the biases.
        regime: by ``chi_1``. ``ordered``: gradients vanish and inputs become alike; ``chaotic``: gradients explode and
            alike inputs part; ``critical``: between them; ``divergent``: no fixed point, the level grows for ever.
        q_star: the level it settles at, from level 1; 0 when the signal dies out, infinite when divergent.
        c_star: the correlation that two different inputs settle at; None when divergent.
        chi_1: growth of the gradient's second moment per layer, dropout included; None when divergent (but for
            homogeneous functions).
        chi_q: the factor on an error of the level per layer; None when divergent.
        xi_q: layers in which an error of the level falls e-fold; None when divergent.
        xi_c: layers in which the correlation comes e-fold nearer to ``c_star``; infinite at criticality, None when
            divergent.
        reason: the regime in words.
        dropout: the share of units dropped behind every activation.
    """

    activation: str
    sigma_w: float
    sigma_b: float
    regime: Regime
    q_star: float
    c_star: float | None
    chi_1: float | None
    chi_q: float | None
    xi_q: float | None
    xi_c: float | None
    reason: str
    dropout: float = 0.0

    @property
    def depth_scale(self) -> float | None:
        """How many layers deep two inputs can still be told apart by their correlation, e-fold: ``xi_c``."""
        return self.xi_c

    @property
    def trainable_depth(self) -> float | None:
        """About how deep a plain net can be and still be trained: 6 ``xi_c``, as Schoenholz et al. 2017 found.

        An observation on MNIST and CIFAR-10 (their section 5), not a theorem; infinite at criticality.
        """
        return None if self.xi_c is None else 6 * self.xi_c


def variance_map(kind: str | Activation | Elementwise, q: float, sigma_w: float, sigma_b: float = 0.0) -> float:
    """The level one layer on: σ_w² E f(√q z)² + σ_b² (Poole et al. 2016, eq. 3).

    Raises:
        InputError: a spread or level out of range, or infinite moments.

    >>> from gainstage.theory import variance_map
    >>> round(variance_map("relu", 3.0, sigma_w=2**0.5, sigma_b=0.1), 12)
    3.01
    """
    _check(sigma_w, sigma_b)
    return sigma_w**2 * gaussian_moments(kind, q).second_moment + sigma_b**2


def correlation_map(
    kind: str | Activation | Elementwise, q: float, c: float, sigma_w: float, sigma_b: float = 0.0, *,
    dropout: float = 0.0,
) -> float:  # fmt: skip
    """The correlation one layer on of two inputs of level q: (σ_w² E f(u) f(v) + σ_b²) / (σ_w² E f² / (1 - p) + σ_b²).

    Args:
        kind: a name, a function of a float64 array, or an ``Activation``.
        q: the level of both.
        c: their correlation (uncentred cosine) over weights.
        sigma_w: standard deviation of the weights times √fan_in.
        sigma_b: standard deviation of the biases.
        dropout: p, the share of units dropped behind the activation, independently for the two inputs.

    Raises:
        InputError: a spread, level or correlation out of range; infinite moments; or the level one layer on is zero.

    Source: Poole et al. 2016, eq. 5; for dropout Schoenholz et al. 2017, section 4.

    >>> from gainstage.theory import correlation_map
    >>> round(correlation_map("relu", 1.0, 0.0, sigma_w=2**0.5), 6)      # 1/π
    0.31831
    """
    after = variance_map(kind, q, sigma_w / math.sqrt(1 - dropout), sigma_b)
    if after == 0:
        raise InputError(f"A correlation needs a signal; the level after '{activation(kind).label}' is 0 at q = {q:g}.")
    return (sigma_w**2 * correlated_moments(kind, q, c)[0] + sigma_b**2) / after


def meanfield(
    kind: str | Activation | Elementwise, sigma_w: float, sigma_b: float = 0.0, *, dropout: float = 0.0
) -> MeanField:
    """The fixed point of a deep plain net of infinite width, and its depth scales.

    A net without a fixed point is not an error: its regime is ``divergent``.

    Dropout with rate p draws anew for every input: levels and gradients gain a factor 1/(1 - p), the products of two
    inputs do not. Two alike inputs then part, so that ``c_star`` is below 1 and ``xi_c`` finite whatever the spreads.

    Args:
        kind: a name, a function of a float64 array, or an ``Activation``.
        sigma_w: standard deviation of the weights times √fan_in, above 0.
        sigma_b: standard deviation of the biases, at least 0.
        dropout: the share of units dropped behind every activation, the others scaled up; from 0, below 1.

    Raises:
        UnknownNameError: no such activation.
        InputError: a spread out of range, or an activation of infinite moments at level 1.

    Source: Schoenholz et al. 2017, eq. 5 to 11, and section 4 for dropout.

    >>> from gainstage.theory import meanfield
    >>> found = meanfield("tanh", sigma_w=1.0, sigma_b=0.05**0.5)
    >>> found.regime, round(found.q_star, 6), round(found.depth_scale, 3)
    ('ordered', 0.193593, 3.627)
    >>> meanfield("relu", sigma_w=2.0).regime
    'divergent'
    """
    sigma_w, sigma_b = require_number(sigma_w, "sigma_w"), require_number(sigma_b, "sigma_b")
    dropout = require_number(dropout, "The dropout rate")
    _check(sigma_w, sigma_b)
    if not 0 <= dropout < 1:
        raise InputError(f"The dropout rate is a share from 0 up to (not including) 1; received {dropout!r}.")
    act, sigma_w, sigma_b = activation(kind), float(sigma_w), float(sigma_b)
    gaussian_moments(act, 1.0)  # an activation that has none is the user's error, not a divergent net
    louder = sigma_w / math.sqrt(1 - dropout)  # effective standard deviation of the weights for a single input
    level = fixed_level(act, louder, sigma_b)
    if math.isinf(level):
        chi = louder**2 * gaussian_moments(act, 1.0).derivative_second_moment if act.homogeneous else None
        reason = f"divergent: no level is kept, the signal of {act.label} grows from layer to layer"
        return MeanField(
            act.label, sigma_w, sigma_b, "divergent", math.inf, None, chi, None, None, None, reason, dropout
        )
    moments = gaussian_moments(act, level)
    chi_1 = louder**2 * moments.derivative_second_moment
    chi_q = louder**2 * moments.z_f_fprime / math.sqrt(moments.level)
    regime: Regime = "critical" if abs(chi_1 - 1) < CRITICAL else "ordered" if chi_1 < 1 else "chaotic"
    c_star, chi_c = 1.0, chi_1
    if regime != "critical" or dropout > 0:
        c_star, chi_c = _fixed_correlation(act, moments.level, sigma_w, sigma_b, dropout) or (1.0, chi_1)
    return MeanField(
        act.label, sigma_w, sigma_b, regime, level, c_star, chi_1, chi_q, _layers(chi_q), _layers(chi_c),
        _words(regime, level, chi_1, c_star), dropout,
    )  # fmt: skip


def _check(sigma_w: float, sigma_b: float) -> None:
    if not (sigma_w > 0 and math.isfinite(sigma_w)):
        raise InputError(f"sigma_w is the spread of weights times √fan_in, finite and above 0; received {sigma_w!r}.")
    if not (sigma_b >= 0 and math.isfinite(sigma_b)):
        raise InputError(f"sigma_b is the spread of biases, finite and at least 0; received {sigma_b!r}.")


def fixed_level(act: Activation, sigma_w: float, sigma_b: float) -> float:
    """Return the second moment that a deep net converges to from 1: the nearest stable fixed point that way."""
    if act.homogeneous:  # V(q) is a straight line
        slope = sigma_w**2 * gaussian_moments(act, 1.0).second_moment
        if abs(slope - 1) < CRITICAL:
            return 1.0 if sigma_b == 0 else math.inf
        return sigma_b**2 / (1 - slope) if slope < 1 else math.inf

    def surplus(q: float) -> float:
        try:
            return variance_map(act, q, sigma_w, sigma_b) / q - 1
        except InputError:  # moments beyond float64
            return math.inf

    if abs(surplus(1.0)) < 1e-12:
        return 1.0
    rising = surplus(1.0) > 0
    found = bracket(surplus, 1.0, 1.3, _HIGHEST) if rising else bracket(surplus, 1.0, 1 / 1.3, _LOWEST)
    if found is None:
        return math.inf if rising else 0.0
    return root(surplus, *found)


def _fixed_correlation(
    act: Activation, q: float, sigma_w: float, sigma_b: float, dropout: float
) -> tuple[float, float] | None:
    """Return the fixed point of the correlation below 1, and the map's slope there; None where only 1 is a fixed point.

    It exists in the chaotic phase, with dropout, and for functions with jumps, which separate similar inputs.
    """
    if variance_map(act, q, sigma_w, sigma_b) == 0:
        return None

    def after(c: float) -> float:
        return correlation_map(act, q, c, sigma_w, sigma_b, dropout=dropout)

    def surplus(gap: float) -> float:
        return after(1 - gap) - (1 - gap)

    # The map is convex on [0, 1] and starts at or above 0, so there is at most one crossing before the one at 1.
    if surplus(_NEAR) >= -_ROUNDING:
        return None
    inside = None if surplus(1.0) <= 1e-12 else bracket(surplus, _NEAR, 10.0, 1.0)
    c = 1 - root(surplus, *inside, tolerance=1e-10) if inside else 0.0
    h = min(0.01, (1 - c) / 10)
    return c, (8 * (after(c + h) - after(c - h)) - (after(c + 2 * h) - after(c - 2 * h))) / (12 * h)


def _layers(factor: float) -> float:
    """Return the number of layers in which a difference changes e-fold: -1/log factor (negative for growth)."""
    if abs(factor - 1) < CRITICAL:
        return math.inf
    return -1 / math.log(factor) if factor > 0 else 0.0


def _words(regime: Regime, level: float, chi: float, c_star: float) -> str:
    where = "the signal dies out" if level == 0 else f"level {level:.4g}"
    inputs = "inputs become alike" if c_star == 1 else "alike inputs part"
    gradient = {
        "ordered": f"{inputs} and gradients vanish",
        "chaotic": f"{inputs} and gradients explode",
    }.get(regime, "gradients keep their size")
    return f"{regime}: {where}; {gradient} (factor {chi:.4g} per layer on their second moment)"
