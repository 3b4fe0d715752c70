"""Moments of functions of Gaussian inputs that have means: fast, for the thousands of them in one network.

Fixed panels instead of the adaptive ones of ``gaussian_moments``: ten digits for the activations of the table, in a
tenth of a millisecond, and many inputs at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gainstage.errors import InputError
from gainstage.theory.activations import Activation, Array, Elementwise, activation
from gainstage.theory.gaussian.quadrature import FEATURES, NODES, WEIGHTS, reach_of

__all__ = ["ShiftedMoments", "joint_moments", "shifted_moments"]

_REACH, _WIDTH = 9.0, 1.5
_JOINT_REACH, _JOINT_WIDTH = 7.5, 1.875
_JOINT_NODES, _JOINT_WEIGHTS = np.polynomial.legendre.leggauss(10)
_WIDE = 1.5  # from this spread on, panels also end where activations bend without a kink
_FRINGE = np.array([-5.0, -2.0, 0.0, 2.0, 5.0])
_LEAST = 1e-12  # standard deviation that stands for zero, relative to the mean
_SAME = 1e-7


@dataclass(frozen=True, slots=True)
class ShiftedMoments:
    """Means over a pre-activation h ~ N(mean, variance); arrays where those were arrays.

    Args:
        mean: E f(h).
        second_moment: E f(h)².
        fourth_moment: E f(h)⁴.
        derivative_mean: E f'(h), jumps of f left out as in backpropagation.
        derivative_second_moment: E f'(h)², likewise.
    """

    mean: Array
    second_moment: Array
    fourth_moment: Array
    derivative_mean: Array
    derivative_second_moment: Array

    @property
    def variance(self) -> Array:
        """Var f(h)."""
        return np.maximum(self.second_moment - self.mean**2, 0.0)


def shifted_moments(
    kind: str | Activation | Elementwise, mean: npt.ArrayLike = 0.0, variance: npt.ArrayLike = 1.0
) -> ShiftedMoments:
    """Moments of f(h) for h ~ N(mean, variance), by fixed Gauss-Legendre panels with edges at the kinks of f.

    Args:
        kind: a name, a function of a float64 array, or an ``Activation`` (fastest: nothing is looked up).
        mean: of the pre-activations, a number or an array.
        variance: of the pre-activations around their mean, at least 0; it broadcasts against ``mean``.

    Returns:
        The moments, each of the common shape (NumPy scalars for two numbers).

    Raises:
        InputError: a mean or variance out of range, or f has no finite moments there.

    >>> from gainstage.theory import shifted_moments
    >>> moments = shifted_moments("relu", mean=[0.0, 3.0], variance=1.0)
    >>> moments.second_moment.round(9).tolist()
    [0.5, 9.999796565]
    """
    act = activation(kind)
    centre, spread = _centre_and_spread(act, mean, variance)
    bends = _bends(act, float(np.max(spread, initial=0.0)))
    reach = reach_of(act, centre, spread, _REACH)
    z, weight = _nodes(_edges((bends - centre[..., None]) / spread[..., None], reach, _WIDTH), NODES, WEIGHTS)
    x = centre[..., None] + spread[..., None] * z
    with np.errstate(all="ignore"):
        f, d = act.function(x), act.derivative(x)
        square = f * f
        found = ShiftedMoments(*(np.asarray((weight * v).sum(-1))[()] for v in (f, square, square * square, d, d * d)))
    if not (np.isfinite(found.second_moment).all() and np.isfinite(found.derivative_second_moment).all()):
        raise InputError(
            f"'{act.label}' has infinite moments for inputs of mean {mean!r} and variance {variance!r}: "
            f"it grows too fast for a Gaussian input."
        )
    return found


def joint_moments(
    first: str | Activation | Elementwise,
    second: str | Activation | Elementwise,
    correlation: float,
    *,
    means: tuple[float, float] = (0.0, 0.0),
    variances: tuple[float, float] = (1.0, 1.0),
) -> tuple[float, float]:
    """E f(u) g(v) and E f'(u) g'(v) for Gaussian u, v with means and variances of their own, to about eight digits.

    Args:
        first: f: a name, a function of a float64 array, or an ``Activation``.
        second: g, likewise.
        correlation: of u and v around their means, from -1 to 1.
        means: of u and of v.
        variances: of u and of v.

    Returns:
        Both means.

    Raises:
        InputError: a mean, variance or correlation out of range, or infinite moments.

    >>> from gainstage.theory import joint_moments
    >>> [round(mean, 7) for mean in joint_moments("linear", "linear", 0.5, means=(1.0, 2.0), variances=(1.0, 4.0))]
    [3.0, 1.0]
    >>> round(joint_moments("relu", "relu", 0.0)[0], 7)            # 1 / 2π
    0.1591549
    """
    f, g = activation(first), activation(second)
    c = float(correlation)
    if not -1 <= c <= 1:
        raise InputError(f"A correlation lies between -1 and 1; received {correlation!r} for '{f.label}'.")
    centre, spread = _centre_and_spread(f, np.asarray(means), np.asarray(variances))
    if centre.shape != (2,):
        raise InputError(f"Two means and two variances are needed; received {means!r} and {variances!r}.")
    (mu, nu), (s, t) = centre.tolist(), spread.tolist()
    rest = math.sqrt((1 - c) * (1 + c))
    with np.errstate(all="ignore"):
        found = _joint(f, g, c, rest, (mu, s), (nu, t))
    if not all(map(math.isfinite, found)):
        raise InputError(f"'{f.label}' and '{g.label}' have infinite moments for variances {variances!r}.")
    return found


def _joint(
    f: Activation, g: Activation, c: float, rest: float, first: tuple[float, float], second: tuple[float, float]
) -> tuple[float, float]:
    """Both means, for the mean and spread of u and of v; ``rest`` is √(1 - c²)."""
    (mu, s), (nu, t) = first, second
    own, other = (_bends(f, s) - mu) / s, (_bends(g, t) - nu) / t
    reach = max(reach_of(act, np.asarray(m), np.asarray(d), _JOINT_REACH) for act, m, d in ((f, mu, s), (g, nu, t)))
    if rest < _SAME:  # v is a function of u
        z, weight = _nodes(_edges(np.concatenate((own, c * other)), max(reach, _REACH), _WIDTH), NODES, WEIGHTS)
        u, v = mu + s * z, nu + math.copysign(t, c) * z
        values, slopes = g.function(v), g.derivative(v)
    else:
        # The inner mean, as a function of z, bends over the width rest/c where c z meets a kink of g.
        kinks = (np.asarray(g.kinks) - nu) / t
        fringe = ((kinks[:, None] + rest * _FRINGE) / c).ravel() if abs(c) > 0.5 else np.empty(0)
        edges = _edges(np.concatenate((own, fringe)), reach, _JOINT_WIDTH)
        z, weight = _nodes(edges, _JOINT_NODES, _JOINT_WEIGHTS)
        u = mu + s * z
        moving = (other - c * z[:, None]) / rest
        inner, share = _nodes(_edges(moving, reach, _JOINT_WIDTH), _JOINT_NODES, _JOINT_WEIGHTS)
        v = nu + t * (c * z[:, None] + rest * inner)
        values, slopes = (share * g.function(v)).sum(-1), (share * g.derivative(v)).sum(-1)
    return float((weight * f.function(u)) @ values), float((weight * f.derivative(u)) @ slopes)


def _centre_and_spread(act: Activation, mean: npt.ArrayLike, variance: npt.ArrayLike) -> tuple[Array, Array]:
    try:
        centre, square = np.broadcast_arrays(np.asarray(mean, np.float64), np.asarray(variance, np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"A mean and a variance are numbers, or arrays of one shape; received {mean!r} and {variance!r}."
        ) from error
    if not (np.isfinite(centre).all() and np.isfinite(square).all() and (square >= 0).all()):
        raise InputError(
            f"The input of '{act.label}' has a finite mean and a finite variance of at least 0; "
            f"received mean {mean!r} and variance {variance!r}."
        )
    return centre, np.maximum(np.sqrt(square), _LEAST * np.maximum(1.0, np.abs(centre)))


def _bends(act: Activation, spread: float) -> Array:
    """Where panels have to end, in units of x."""
    return np.asarray((*act.kinks, 0.0, *FEATURES) if spread > _WIDE else act.kinks, dtype=np.float64)


def _edges(bends: Array, reach: float, width: float) -> Array:
    """Edges of panels along the last axis: a grid, and every bend within reach (others make empty panels)."""
    grid = np.linspace(-reach, reach, math.ceil(2 * reach / width) + 1)
    if not bends.shape[-1]:
        return np.broadcast_to(grid, (*bends.shape[:-1], grid.size))
    inside = np.clip(bends, -reach, reach)
    return np.sort(np.concatenate((np.broadcast_to(grid, (*inside.shape[:-1], grid.size)), inside), -1), -1)


def _nodes(edges: Array, nodes: Array, weights: Array) -> tuple[Array, Array]:
    """Places and Gaussian weights of the panels between edges along the last axis."""
    left, right = edges[..., :-1, None], edges[..., 1:, None]
    half = (right - left) / 2
    z = (left + right) / 2 + half * nodes
    weight = half * weights * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    shape = (*edges.shape[:-1], -1)
    return z.reshape(shape), weight.reshape(shape)
