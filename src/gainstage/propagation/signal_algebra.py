"""Arithmetic of signals: functions, sums and products that keep track of where each tensor comes from.

A tensor is a function of one *source*, element by element, and a sum of *atoms*. The first turns ``x * sigmoid(x)``
into one integral. The second makes ``x + x`` twice x, while ``x + y`` of two independent tensors adds second moments.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gainstage.propagation.atoms import Atoms
from gainstage.propagation.cumulants import bounded, cumulants, kurtosis, third
from gainstage.propagation.draw_variance import DrawVariance
from gainstage.propagation.expectation import Expectation
from gainstage.propagation.finite_width import FiniteWidth
from gainstage.propagation.function import Function
from gainstage.propagation.mixture import blended_edge_profiles, mixture, powered
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.sequence_profile import SequenceProfile, blended, times
from gainstage.propagation.signal import FunctionOf, Signal, broadcast_to
from gainstage.propagation.squared_covariance import by_chance, scatter, squares

__all__ = ["SignalAlgebra"]

_MOST_TERMS = 512  # a sum with more terms becomes an atom


class SignalAlgebra(Atoms):
    """Arithmetic of the signals of one prediction."""

    # -- one operand -------------------------------------------------------------------------------------------------

    def apply(self, function: Function, x: Signal) -> Signal:
        """Return the signal f(x)."""
        if x.parts:
            return self.concatenated(tuple(self.apply(function, part) for part in x.parts), x)
        assert x.dependence is not None
        dependence = FunctionOf(x.dependence.source, function.after(x.dependence.function))
        if function.affine is not None:
            factor, offset = function.affine
            pairs = x.pairs.each(lambda v: factor**2 * v + 2 * factor * offset * x.mean + offset**2)
            sign = math.copysign(1.0, factor)
            return self._atom(
                replace(
                    x, pairs=pairs, mean=factor * x.mean + offset, skew=sign * x.skew, dependence=dependence, terms=()
                ),
                tuple((atom, factor * share) for atom, share in x.terms) if offset == 0 else (),
            )
        return self._atom(self._of_dependence(dependence, x), ())

    def odd(self, x: Signal) -> Signal:
        """Return √2 times the odd part of f(s) for a source s: the sum over two opposite units, weighted (v, -v)."""
        assert x.dependence is not None
        function = x.dependence.function.mirrored(-1.0)
        return self._atom(self._of_dependence(FunctionOf(x.dependence.source, function), x), ())

    def _of_dependence(self, dependence: FunctionOf, like: Signal) -> Signal:
        """Compute the moments of f(s) for a source s."""
        source = self._sources[dependence.source]
        found = self.expectation(dependence)
        pairs = source.pairs.each(lambda v: found.pair(source.correlation(v)))
        pairs = replace(pairs, level=found.second)
        skew, excess = cumulants(found)
        own = scatter(found, source) / like.extent.units
        inherited = source.inherited * found.response
        edge_profiles = tuple(powered(b, found.scaling) for b in source.edge_profiles)
        finite_width = self._finite_width(found, source)
        return replace(
            like,
            pairs=pairs,
            mean=found.mean,
            skew=skew,
            excess=excess,
            noise=inherited.with_cause(self.cause(), own),
            inherited=inherited,
            dependence=dependence,
            parts=(),
            rows=None,
            zero=found.zero,
            edge_profiles=edge_profiles,
            finite_width=finite_width,
            sequence=self._sequence(found, source),
        )

    @staticmethod
    def _finite_width(found: Expectation, source: Signal) -> FiniteWidth:
        """Propagate fluctuations of cosine similarities and of squares through f, to first order."""
        if not found.second > 0:
            return source.finite_width.scaled(0.0).powered(found.response)
        steep = found.slope_pair(source.correlation(source.pairs.examples)) * source.pairs.level
        loud = source.pairs.level / source.variance if source.variance > 0 else 0.0
        own = (found.response * found.second - found.lifting) * loud
        return source.finite_width.scaled(steep / found.second, own / found.second).powered(found.response)

    @staticmethod
    def _sequence(found: Expectation, source: Signal) -> SequenceProfile | None:
        """Compute the profile of f(s) by token position from that of the source."""
        x = source.sequence
        if x is None:
            return None
        level, both = source.pairs.level, source.mean**2
        own = np.sqrt(np.maximum(level * x.level - both, 1e-300))
        changed = np.maximum(x.level, 1e-12) ** found.response
        root = np.sqrt(changed)
        pairs = found.pairs((level * x.cross - both) / own[:, None] / own[None, :])
        alike = pairs / found.second if found.second > 0 else np.ones_like(pairs)
        return SequenceProfile.from_moments(x.counts, changed, alike * root[:, None] * root[None, :])[0]

    def _atom(self, signal: Signal, terms: tuple[tuple[int, float], ...]) -> Signal:
        """Set the terms of a signal; a signal that is not a sum of others becomes an atom."""
        if terms:
            return replace(signal, terms=terms)
        number = self.number()
        signal = replace(signal, terms=((number, 1.0),))
        self._sources[number] = signal
        return signal

    # -- two operands ------------------------------------------------------------------------------------------------

    def add(self, x: Signal, y: Signal, sign: float = 1.0) -> Signal:
        """Return the signal x + sign·y."""
        if x.parts or y.parts:
            if len(x.parts) == len(y.parts):
                return self.concatenated(tuple(self.add(a, b, sign) for a, b in zip(x.parts, y.parts, strict=True)), x)
            x, y = self.without_parts(x), self.without_parts(y)
        x, y = broadcast_to(x, y.extent), broadcast_to(y, x.extent)
        assert x.dependence is not None
        assert y.dependence is not None
        doubt = x.doubt or y.doubt
        if x.dependence.source == y.dependence.source:
            added = y.dependence.function if sign > 0 else y.dependence.function.scaled(sign)
            dependence = FunctionOf(x.dependence.source, x.dependence.function + added)
            if dependence.function.affine is None:
                return replace(self._atom(self._of_dependence(dependence, x), ()), doubt=doubt)
        terms = _sum_of_terms(x, y, sign)
        pairs, independent = self._moments_of_sum(x, y, sign)
        mean = x.mean + sign * y.mean
        # Cumulants of dependent terms do not add up; their sum counts as Gaussian.
        skew, excess = _cumulants_of_sum(x, y, sign) if independent else (0.0, 0.0)
        share = x.pairs.level / (x.pairs.level + y.pairs.level) if x.pairs.level + y.pairs.level > 0 else 0.5
        # Products of independent terms vanish on average only.
        common = x.pairs.geometric_mean(y.pairs).mean_squared_correlation(x.extent) if independent else 0.0
        products = common / max(x.extent.units, 1)
        result = replace(
            x,
            pairs=pairs,
            mean=mean,
            skew=skew,
            excess=excess if pairs.level > mean**2 else 0.0,
            noise=(x.noise * share + y.noise * (1 - share)).with_cause(
                self.cause(), 4 * share * (1 - share) * products
            ),
            covariance_noise=self._covariance_noise(x, y),
            inherited=x.inherited * share + y.inherited * (1 - share),
            parts=(),
            rows=None,
            zero=0.0,
            doubt=doubt,
            edge_profiles=blended_edge_profiles(x.edge_profiles, y.edge_profiles, share),
            finite_width=x.finite_width.summed_with(y.finite_width, share, independent=independent),
            sequence=blended(x.sequence, y.sequence, share, (x.pairs, y.pairs)),
        )
        number = self.number()
        result = replace(result, dependence=FunctionOf(number), terms=terms or ((number, 1.0),))
        self._sources[number] = result
        return result

    def _moments_of_sum(self, x: Signal, y: Signal, sign: float) -> tuple[SecondMoments, bool]:
        """Return second moments of x + sign·y, and whether both are independent."""
        shared = {atom for atom, _ in x.terms} & {atom for atom, _ in y.terms}
        if shared or self._related(x, y):
            return x.pairs + y.pairs + self._cross_pairs(x, y, sign, shared).scaled(2.0), False
        return (x.pairs + y.pairs).shifted(2 * sign * x.mean * y.mean), True

    def _covariance_noise(self, x: Signal, y: Signal) -> DrawVariance:
        """Return the draw-to-draw variance of the log covariance between positions of a sum."""
        one, two = max(x.pairs.positions, 0.0), max(y.pairs.positions, 0.0)
        share = one / (one + two) if one + two > 0 else 0.5
        crossed = (
            2
            * share
            * (1 - share)
            * math.sqrt(x.pairs.covariance_variance(x.extent) * y.pairs.covariance_variance(y.extent))
        )
        return (x.covariance_noise * share + y.covariance_noise * (1 - share)).with_cause(self.cause(), crossed)

    def multiply(self, x: Signal, y: Signal, *, divide: bool = False) -> Signal:
        """Return the signal x·y, or x / y."""
        if x.parts or y.parts:
            if len(x.parts) == len(y.parts):
                both = zip(x.parts, y.parts, strict=True)
                return self.concatenated(tuple(self.multiply(a, b, divide=divide) for a, b in both), x)
            x, y = self.without_parts(x), self.without_parts(y)
        x, y = broadcast_to(x, y.extent), broadcast_to(y, x.extent)
        assert x.dependence is not None
        assert y.dependence is not None
        if x.dependence.source == y.dependence.source:
            first, second = x.dependence.function, y.dependence.function
            dependence = FunctionOf(x.dependence.source, first / second if divide else first * second)
            return replace(self._atom(self._of_dependence(dependence, x), ()), doubt=x.doubt or y.doubt)
        if divide:
            y = self.apply(RECIPROCAL, y)
        pairs, sequence = times(x.sequence, x.pairs, y.sequence, y.pairs)
        fourth = kurtosis(x) * kurtosis(y)
        own = self._product_square_covariance(x, y) / max(x.extent.units, 1)
        mean = x.mean * y.mean
        variance = max(pairs.level - mean**2, 0.0)
        cube = third(x) * third(y) - 3 * mean * pairs.level + 2 * mean**3
        skew = cube / variance**1.5 if variance > 0 else 0.0
        product = self.new_source(
            replace(
                x,
                pairs=pairs,
                mean=mean,
                skew=skew,
                excess=bounded(fourth - 3),
                noise=(x.inherited + y.inherited).with_cause(self.cause(), own),
                inherited=x.inherited + y.inherited,
                parts=(),
                sequence=sequence,
                rows=None,
                zero=1 - (1 - x.zero) * (1 - y.zero),
                doubt=x.doubt or y.doubt,
            )
        )
        self._factors[product.terms[0][0]] = ((x, y), (y, x))
        return product

    def squares(self, x: Signal) -> tuple[SecondMoments, float]:
        """Return the relative covariance of squares by kind of pair, and the part of it caused by finite-width
        fluctuations.
        """
        source = None if x.dependence is None else self.source(x.dependence.source)
        if x.dependence is None or source is None or source.extent != x.extent:  # repeated along an axis
            level, more = x.pairs.level, kurtosis(x) - 1
            return x.pairs.each(
                lambda v: more * min((v / level) ** 2, 1.0) if level > 0 else 0.0
            ), x.finite_width.correlation_variance
        found = self.expectation(x.dependence)
        return squares(found, source), by_chance(found, source)

    def _product_square_covariance(self, x: Signal, y: Signal) -> float:
        """Return the relative variance of a mean of (x·y)² over observations, times the number of units."""
        (one, first), (two, second) = self.squares(x), self.squares(y)
        return (one + two + one * two).mean_over_observations(x.extent) + first + second

    # -- parts -------------------------------------------------------------------------------------------------------

    def concatenated(self, parts: tuple[Signal, ...], like: Signal) -> Signal:
        """Concatenate signals along the units; the result keeps them as its parts."""
        whole = mixture(parts)
        return replace(
            like,
            pairs=whole.pairs,
            mean=whole.mean,
            skew=whole.skew,
            excess=whole.excess,
            noise=whole.noise,
            inherited=whole.inherited,
            dependence=None,
            terms=(),
            parts=parts,
            rows=None,
            zero=whole.zero,
            finite_width=whole.finite_width,
            doubt=next((p.doubt for p in parts if p.doubt), ""),
            edge_profiles=whole.edge_profiles,
            extent=replace(like.extent, units=whole.extent.units),
        )

    def without_parts(self, x: Signal) -> Signal:
        """Return the signal as one source, its parts averaged."""
        return self.new_source(replace(x, parts=())) if x.parts else x


RECIPROCAL = Function(("reciprocal",), lambda x: 1 / x, lambda x: -1 / x**2, (0.0,))


def _cumulants_of_sum(x: Signal, y: Signal, sign: float) -> tuple[float, float]:
    """Return skewness and excess kurtosis of x + sign·y for independent x and y."""
    total = x.variance + y.variance
    first, second = (x.variance / total, y.variance / total) if total > 0 else (0.5, 0.5)
    return first**1.5 * x.skew + sign * second**1.5 * y.skew, first**2 * x.excess + second**2 * y.excess


def _sum_of_terms(x: Signal, y: Signal, sign: float) -> tuple[tuple[int, float], ...]:
    """Merge the terms of x and sign·y; empty where there would be more than ``_MOST_TERMS``."""
    total = dict.fromkeys(atom for atom, _ in (*x.terms, *y.terms))
    if len(total) > _MOST_TERMS:
        return ()
    more = tuple((atom, sign * factor) for atom, factor in y.terms)
    if len(total) == len(x.terms) + len(more):
        return (*x.terms, *more)
    factors = dict(x.terms)
    for atom, factor in more:
        factors[atom] = factors.get(atom, 0.0) + factor
    return tuple(factors.items())
