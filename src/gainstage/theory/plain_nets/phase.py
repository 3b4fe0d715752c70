"""Phase diagram of a plain net: its fixed points over a grid of weight and bias standard deviations, as arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gainstage.errors import InputError
from gainstage.theory.activations import Activation, Array, Elementwise, activation
from gainstage.theory.gaussian.moments import gaussian_moments
from gainstage.theory.gaussian.shifted import ShiftedMoments, shifted_moments
from gainstage.theory.plain_nets.mean_field import CRITICAL, Regime

__all__ = ["REGIMES", "PhaseDiagram", "phase_diagram"]

REGIMES: tuple[Regime, ...] = ("ordered", "critical", "chaotic", "divergent")
"""What the codes in ``PhaseDiagram.regime`` stand for."""

_LEVELS = np.geomspace(1e-10, 1e8, 541)  # 30 per decade, including 1
_START = int(np.argmin(np.abs(np.log(_LEVELS))))
_POLISH = 4
_ORDERS = 160  # of the Hermite expansion
_CHUNK = 512
_STEPS = 60


@dataclass(frozen=True, slots=True, eq=False)
class PhaseDiagram:
    """Fixed points over a grid; every array but the axes has shape (biases, weights).

    Args:
        activation: its label.
        sigma_w: standard deviations of the weights times √fan_in, the horizontal axis, shape (weights,).
        sigma_b: standard deviations of the biases, the vertical axis, shape (biases,).
        regime: codes, the place in ``REGIMES``: 0 ordered, 1 critical, 2 chaotic, 3 divergent.
        q_star: the level the net settles at; 0 where the signal dies out, infinite where it diverges.
        chi_1: growth of the gradient's second moment per layer; nan where it diverges.
        c_star: the correlation that two inputs settle at; nan where it diverges.
        xi_c: layers in which it is reached e-fold (the depth scale); infinite at criticality, nan where it diverges.
    """

    activation: str
    sigma_w: Array
    sigma_b: Array
    regime: npt.NDArray[np.int8]
    q_star: Array
    chi_1: Array
    c_star: Array
    xi_c: Array


def phase_diagram(kind: str | Activation | Elementwise, sigma_w: npt.ArrayLike, sigma_b: npt.ArrayLike) -> PhaseDiagram:
    """``meanfield`` over a grid, vectorised: about five seconds for ten thousand points of tanh.

    Levels and ``chi_1`` are as good as ``meanfield``'s; correlations come from a Hermite expansion of f and are good to
    about a thousandth where ``c_star`` is close to 1.

    Args:
        kind: a name, a function of a float64 array, or an ``Activation``.
        sigma_w: standard deviations of the weights times √fan_in, above 0, shape (weights,).
        sigma_b: standard deviations of the biases, at least 0, shape (biases,).

    Raises:
        UnknownNameError: no such activation.
        InputError: spreads out of range or not in a row, or an activation of infinite moments at level 1.

    Source: Poole et al. 2016, figure 1; Schoenholz et al. 2017, figure 1.

    >>> from gainstage.theory import phase_diagram
    >>> diagram = phase_diagram("tanh", sigma_w=[0.8, 2.0], sigma_b=[0.0, 0.3])
    >>> diagram.regime.tolist(), diagram.chi_1.round(3).tolist()
    ([[0, 2], [0, 2]], [[0.64, 1.363], [0.496, 1.327]])
    """
    act = activation(kind)
    weights, biases = _axis("sigma_w", sigma_w), _axis("sigma_b", sigma_b)
    if not (weights > 0).all():
        raise InputError(f"'sigma_w' holds spreads of weights times √fan_in, above 0; received {sigma_w!r}.")
    gaussian_moments(act, 1.0)
    w, b = (values.ravel() for values in np.meshgrid(weights**2, biases**2))
    level = _homogeneous(act, w, b) if act.homogeneous else _settled(act, w, b)
    there = np.isfinite(level)
    chi, c_star, xi = (np.full(level.shape, np.nan) for _ in range(3))
    held = np.where(level[there] > 0, level[there], 1e-24)
    moments = _moments(act, held)
    chi[there] = w[there] * moments.derivative_second_moment
    # The level one layer later, equal to the level unless the signal vanishes.
    own = w[there] * moments.second_moment + b[there]
    c_star[there], slope = _correlations(act, held, own, w[there], b[there], chi[there])
    with np.errstate(divide="ignore", invalid="ignore"):
        xi[there] = np.where(np.abs(slope - 1) < CRITICAL, np.inf, -1 / np.log(slope))
    regime = np.where(np.abs(chi - 1) < CRITICAL, 1, np.where(chi < 1, 0, 2))
    regime = np.where(there, regime, 3)
    shape = biases.size, weights.size
    return PhaseDiagram(
        act.label, weights, biases, regime.reshape(shape).astype(np.int8), level.reshape(shape), chi.reshape(shape),
        c_star.reshape(shape), xi.reshape(shape),
    )  # fmt: skip


def _axis(name: str, values: npt.ArrayLike) -> Array:
    try:
        found = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(f"'{name}' is a row of numbers; received {values!r}.") from error
    if found.ndim != 1 or not found.size or not np.isfinite(found).all() or (found < 0).any():
        raise InputError(f"'{name}' is a row of finite spreads, at least 0; received {values!r}.")
    return found


def _homogeneous(act: Activation, w: Array, b: Array) -> Array:
    """V(q) is a straight line."""
    slope = w * gaussian_moments(act, 1.0).second_moment
    still = np.abs(slope - 1) < CRITICAL
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.where(slope < 1, b / (1 - slope), np.inf)
    return np.where(still, np.where(b == 0, 1.0, np.inf), level)


def _settled(act: Activation, w: Array, b: Array) -> Array:
    """Return the first fixed point from level 1, up or down, by a table of E f² and secant steps."""
    squares = np.full(_LEVELS.size, np.inf)
    for index, level in enumerate(_LEVELS.tolist()):
        try:
            squares[index] = shifted_moments(act, 0.0, level).second_moment
        except InputError:  # beyond float64 from here on
            break
    level = np.empty_like(w)
    for start in range(0, w.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        with np.errstate(over="ignore"):
            surplus = w[part, None] * squares / _LEVELS + b[part, None] / _LEVELS - 1
        level[part] = _first_crossing(surplus)
    inner = np.isfinite(level) & (level > 0)
    level[inner] = _polished(act, w[inner], b[inner], level[inner])
    return level


def _first_crossing(surplus: Array) -> Array:
    """Return the level of the first sign change, upwards from 1 where the value is positive there, else downwards."""
    up, down = surplus[:, _START:] <= 0, surplus[:, _START::-1] >= 0
    rising = surplus[:, _START] > 0
    crosses = np.where(rising, up.any(-1), down.any(-1))
    steps = np.where(rising, up.argmax(-1), down.argmax(-1))
    after = np.where(rising, _START + steps, _START - steps)
    before = np.clip(np.where(rising, after - 1, after + 1), 0, _LEVELS.size - 1)
    rows = np.arange(len(surplus))
    one, two = surplus[rows, before], surplus[rows, after]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(one == two, 0.0, one / (one - two))
    share = np.clip(np.where(np.isfinite(share), share, 1.0), 0.0, 1.0)
    logs = np.log(_LEVELS)
    found = np.exp(logs[before] + share * (logs[after] - logs[before]))
    return np.where(crosses, found, np.where(rising, np.inf, 0.0))


def _polished(act: Activation, w: Array, b: Array, level: Array) -> Array:
    """Refine the fixed points by secant steps on log(V(q)/q)."""

    def surplus(q: Array) -> Array:
        return np.asarray(np.log((w * _moments(act, q).second_moment + b) / q))

    last, value = level * 1.01, surplus(level)
    before = surplus(last)
    for _ in range(_POLISH):
        with np.errstate(divide="ignore", invalid="ignore"):
            step = value * np.log(level / last) / (value - before)
        step = np.clip(np.where(np.isfinite(step), step, 0.0), -0.1, 0.1)
        last, before, level = level, value, level * np.exp(-step)
        value = surplus(level)
    return level


def _moments(act: Activation, levels: Array) -> ShiftedMoments:
    parts = [shifted_moments(act, 0.0, levels[at : at + _CHUNK]) for at in range(0, max(levels.size, 1), _CHUNK)]
    names = ("mean", "second_moment", "fourth_moment", "derivative_mean", "derivative_second_moment")
    return ShiftedMoments(*(np.concatenate([np.atleast_1d(getattr(part, name)) for part in parts]) for name in names))


def _correlations(act: Activation, level: Array, own: Array, w: Array, b: Array, chi: Array) -> tuple[Array, Array]:
    """Return the fixed point of the correlation, and the slope of the correlation map there."""
    c, slope = np.ones_like(level), chi.copy()
    # Similar inputs separate where the slope of the map at 1 exceeds 1.
    chaotic = np.flatnonzero((chi * level > (1 + CRITICAL) * own) & (own > 0))
    if act.homogeneous or not chaotic.size:
        return c, slope
    for at in range(0, chaotic.size, _CHUNK):
        rows = chaotic[at : at + _CHUNK]
        squares = _hermite(act, level[rows]) * w[rows, None]
        squares[:, 0] += b[rows]
        squares /= own[rows, None]  # the map is Σ squares c^k; at the fixed point they sum to one
        squares[:, -1] += np.maximum(1 - squares.sum(-1), 0.0)
        c[rows], slope[rows] = _crossing(squares)
    return c, slope


def _hermite(act: Activation, levels: Array) -> Array:
    """Return squared coefficients of f(√q z) in normalized Hermite polynomials, shape (levels, orders)."""
    z = np.linspace(-14.0, 14.0, 4001)
    polynomials = np.empty((_ORDERS, z.size))
    # Times the root of the density, so that nothing overflows.
    polynomials[0] = np.exp(-0.25 * z * z) / (2 * math.pi) ** 0.25
    polynomials[1] = z * polynomials[0]
    for k in range(2, _ORDERS):
        polynomials[k] = (z * polynomials[k - 1] - math.sqrt(k - 1) * polynomials[k - 2]) / math.sqrt(k)
    basis = polynomials * polynomials[0] * (z[1] - z[0])
    values = act.function(np.sqrt(levels)[:, None] * z)
    return np.asarray((values @ basis.T) ** 2)


def _crossing(squares: Array) -> tuple[Array, Array]:
    """Return the root of Σ squares c^k = c below 1 by bisection, and the slope of the sum there."""
    orders = np.arange(squares.shape[-1])
    low, high = np.zeros(len(squares)), np.full(len(squares), 1 - 1e-9)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        above = (squares * middle[:, None] ** orders).sum(-1) > middle  # the map is convex and starts above
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    slope = (squares[:, 1:] * orders[1:] * low[:, None] ** orders[:-1]).sum(-1)
    return low, slope
