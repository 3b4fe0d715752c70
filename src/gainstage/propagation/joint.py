"""Means of functions over two independent Gaussian numbers: a gradient that depends on a sum meets one of its terms."""

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

__all__ = ["Joint", "joint", "met_in_sum"]

_PLACES = np.linspace(-7.0, 7.0, 281)  # a jump is met to half a step, and by each row elsewhere
_TERMS = 8


@dataclass(frozen=True, slots=True)
class Joint:
    """Of h(u, v) for independent u and v.

    Args:
        second: E h².
        series: squares of the coefficients in products of Hermite polynomials of u and of v, shape (terms, terms).
    """

    second: float
    series: Array

    def pair(self, first: float, second: float) -> float:
        """E h(u, v) h(u', v') when u and u' have the first correlation, v and v' the second."""
        c, d = (min(max(of, -1.0), 1.0) for of in (first, second))
        known = float(np.polynomial.polynomial.polyval2d(c, d, self.series))
        rest = max(self.second - float(self.series.sum()), 0.0)
        return known + rest * (c * d) ** _TERMS if c * d > 0 else known

    def pairs(
        self, first: Callable[[float], float], one: SecondMoments, second: Callable[[float], float], two: SecondMoments
    ) -> SecondMoments:
        """The same for every kind of pair.

        Args:
            first, second: what makes correlations of second moments.
            one, two: second moments of u and of v.
        """
        found = one.zip(two, lambda a, b: self.pair(first(a), second(b)))
        return SecondMoments(
            self.second, found.units, found.positions, found.examples, found.neighbour, found.across_both
        )


def joint(function: Callable[[Array, Array], Array]) -> Joint:
    """Integrate a function of two standard normal numbers.

    Args:
        function: of two arrays that broadcast.

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


def met_in_sum(algebra: SignalAlgebra, dependence: FunctionOf, whole: Signal, signal: Signal) -> SecondMoments | None:
    """Second moments, and of pairs, of f(sum) · signal, for a signal that is one of the sum's two terms.

    Args:
        ledger: where terms are looked up.
        law: f, of the sum.
        whole: the sum.
        signal: a term of it, or a factor of one that is a product.

    Returns:
        None where the sum has more terms, or another that is as good as Gaussian: then its regression tells as much.
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
    """A number of that distribution for each standard normal one (Cornish and Fisher 1938)."""
    skew, excess = min(max(marginal.skew, -1.0), 1.0), min(max(marginal.excess, -1.0), 2.0)
    bent = z + skew / 6 * (z**2 - 1) + excess / 24 * (z**3 - 3 * z) - skew**2 / 36 * (2 * z**3 - 5 * z)
    return np.asarray(marginal.mean + math.sqrt(marginal.variance) * bent)
