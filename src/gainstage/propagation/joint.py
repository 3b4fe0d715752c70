"""Expectations of functions of two independent Gaussian variables, for gradients that depend on a sum and meet one
term.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gainstage.propagation.expectation import Marginal
from gainstage.propagation.function import Function
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import FunctionOf, Signal
from gainstage.propagation.signal_algebra import SignalAlgebra
from gainstage.theory.activations import Array

__all__ = ["Joint", "joint", "term_times_function_of_sum"]

_PLACES = np.linspace(-7.0, 7.0, 281)  # a jump is located to half a step, at another point in each row
_TERMS = 8


@dataclass(frozen=True, slots=True)
class Joint:
    """Moments of h(u, v) for independent standard normal u and v.

    Args:
        second: E h².
        series: squared coefficients in products of Hermite polynomials of u and of v, shape (terms, terms).
    """

    second: float
    series: Array

    def pair(self, first: float, second: float) -> float:
        """Return E h(u, v) h(u', v') where u, u' have correlation ``first`` and v, v' have correlation ``second``."""
        c, d = (min(max(of, -1.0), 1.0) for of in (first, second))
        known = float(np.polynomial.polynomial.polyval2d(c, d, self.series))
        rest = max(self.second - float(self.series.sum()), 0.0)
        return known + rest * (c * d) ** _TERMS if c * d > 0 else known

    def pairs(
        self, first: Callable[[float], float], one: SecondMoments, second: Callable[[float], float], two: SecondMoments
    ) -> SecondMoments:
        """Return the moments for every kind of pair.

        Args:
            first, second: turn second moments of u and of v into correlations.
            one, two: second moments of u and of v.
        """
        found = one.zip(two, lambda a, b: self.pair(first(a), second(b)))
        return SecondMoments(
            self.second, found.units, found.positions, found.examples, found.neighbour, found.across_both
        )


def joint(function: Callable[[Array, Array], Array]) -> Joint:
    """Integrate a function of two independent standard normal variables.

    Args:
        function: h, of two arrays that broadcast.

    >>> both = joint(lambda u, v: u * v)
    >>> round(both.second, 2), round(both.pair(0.5, 0.5), 2)
    (1.0, 0.25)
    """
    z = _PLACES
    weight = np.exp(-0.5 * z * z)
    weight = weight / weight.sum()
    with np.errstate(all="ignore"):
        values = function(z[:, None], z[None, :])
    hermite = np.stack([np.ones_like(z), z])
    for n in range(1, _TERMS - 1):
        following = (z * hermite[n] - math.sqrt(n) * hermite[n - 1]) / math.sqrt(n + 1)
        hermite = np.vstack((hermite, following))
    hermite = hermite * weight
    return Joint(float(weight @ values**2 @ weight), (hermite @ values @ hermite.T) ** 2)


def term_times_function_of_sum(
    algebra: SignalAlgebra, dependence: FunctionOf, whole: Signal, signal: Signal
) -> SecondMoments | None:
    """Return second moments of f(sum) · signal for a signal that is one of the sum's two terms.

    Args:
        algebra: resolves the terms.
        dependence: f, as a function of the sum.
        whole: the sum.
        signal: a term of the sum, or a factor of a term that is a product.

    Returns:
        None where the sum has more terms, or where the other term is close to Gaussian, since regression then suffices.
    """
    mine = [(atom, share * algebra.share_in(signal, atom)) for atom, share in whole.terms]
    own = [share for _, share in mine if share]
    others = [term for term, (_, part) in zip(whole.terms, mine, strict=True) if not part]
    if len(own) != 1 or len(others) != 1 or signal.dependence is None:
        return None
    other, share = algebra.source(others[0][0]), others[0][1]
    if (
        other.dependence is None
        or other.dependence.function.affine is not None
        or other.dependence.source == signal.dependence.source
    ):
        return None
    offset = whole.mean - own[0] * signal.mean - share * other.mean
    one, two = algebra.source(other.dependence.source), algebra.source(signal.dependence.source)
    first, second = other.dependence.function, signal.dependence.function

    def moments(of: Function) -> Joint:
        def product(u: Array, v: Array) -> Array:
            rest = share * first.value(_drawn(one.marginal, u)) + offset
            term = second.value(_drawn(two.marginal, v))
            return np.asarray(of.value(rest + own[0] * term) * term)

        return joint(product)

    pairs = moments(dependence.for_pairs.function).pairs(one.correlation, one.pairs, two.correlation, two.pairs)
    return pairs if dependence.pair_function is None else replace(pairs, level=moments(dependence.function).second)


def _drawn(marginal: Marginal, z: Array) -> Array:
    """Map standard normal values to a marginal by the expansion of Cornish and Fisher (1938)."""
    skew, excess = min(max(marginal.skew, -1.0), 1.0), min(max(marginal.excess, -1.0), 2.0)
    bent = z + skew / 6 * (z**2 - 1) + excess / 24 * (z**3 - 3 * z) - skew**2 / 36 * (2 * z**3 - 5 * z)
    return np.asarray(marginal.mean + math.sqrt(marginal.variance) * bent)
