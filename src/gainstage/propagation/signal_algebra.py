"""The arithmetic of signals: functions, sums and products that remember where each tensor comes from.

A tensor is a function of one *source* (element by element) and a sum of *atoms*. The first makes ``x * sigmoid(x)`` one
integral, the second makes ``x + x`` twice x while ``x + y`` of two independent tensors adds their second moments.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import count

import numpy as np

from gainstage.propagation.cumulants import bounded, cumulants, kurtosis, third
from gainstage.propagation.draw_variance import Noise
from gainstage.propagation.expectation import Expectation, Expectations
from gainstage.propagation.finite_width import Chance
from gainstage.propagation.function import Function
from gainstage.propagation.mixture import blended_borders, mixture, powered
from gainstage.propagation.pairs import Pairs
from gainstage.propagation.sequence_profile import Course, blended, times
from gainstage.propagation.signal import Law, Signal, lifted
from gainstage.propagation.squared_covariance import by_chance, scatter, squares

__all__ = ["Ledger"]

_MOST_TERMS = 512  # a sum of more is taken as one


class Ledger:
    """All sources and atoms of one prediction."""

    def __init__(self) -> None:
        self.expectations = Expectations()
        self._sources: dict[int, Signal] = {}
        self._factors: dict[int, tuple[tuple[Signal, Signal], ...]] = {}
        self._numbers, self._causes = count(), count()

    def number(self) -> int:
        """A new number for a source or an atom."""
        return next(self._numbers)

    def cause(self) -> int:
        """A new number for a cause of scatter between draws."""
        return next(self._causes)

    def source(self, number: int) -> Signal:
        """The signal that is a source, or an atom."""
        return self._sources[number]

    def fresh(self, signal: Signal) -> Signal:
        """Enter a tensor that is independent of all others: it is a source and an atom of its own."""
        number = self.number()
        signal = replace(signal, law=Law(number), terms=((number, 1.0),))
        self._sources[number] = signal
        return signal

    def expectation(self, law: Law, largest_of: int = 1) -> Expectation:
        """Means of a law over its source."""
        source = self._sources[law.source]
        common = source.correlation(source.pairs.near) if largest_of > 1 else 0.0
        return self.expectations.of(law.function, source.marginal, largest_of, common)

    # -- one operand -------------------------------------------------------------------------------------------------

    def apply(self, function: Function, x: Signal) -> Signal:
        """The signal f(x)."""
        if x.parts:
            return self.joined(tuple(self.apply(function, part) for part in x.parts), x)
        assert x.law is not None
        law = Law(x.law.source, function.after(x.law.function))
        if function.affine is not None:
            factor, offset = function.affine
            pairs = x.pairs.each(lambda v: factor**2 * v + 2 * factor * offset * x.mean + offset**2)
            sign = math.copysign(1.0, factor)
            return self._atom(
                replace(x, pairs=pairs, mean=factor * x.mean + offset, skew=sign * x.skew, law=law, terms=()),
                tuple((atom, factor * share) for atom, share in x.terms) if offset == 0 else (),
            )
        return self._atom(self._of_law(law, x), ())

    def odd(self, x: Signal) -> Signal:
        """The odd part of a function of a source, times √2: what arrives from units in opposite pairs."""
        assert x.law is not None
        return self._atom(self._of_law(Law(x.law.source, x.law.function.mirrored(-1.0)), x), ())

    def _of_law(self, law: Law, like: Signal) -> Signal:
        """The moments of a function of one source."""
        source = self._sources[law.source]
        found = self.expectation(law)
        pairs = source.pairs.each(lambda v: found.pair(source.correlation(v)))
        pairs = replace(pairs, level=found.second)
        skew, excess = cumulants(found)
        own = scatter(found, source) / like.extent.units
        carried = source.carried * found.response
        borders = tuple(powered(b, found.scaling) for b in source.borders)
        chance = self._chance(found, source)
        return replace(
            like, pairs=pairs, mean=found.mean, skew=skew, excess=excess,
            noise=carried.caused(self.cause(), own), carried=carried, law=law, parts=(), rows=None, zero=found.zero,
            borders=borders, chance=chance, course=self._course(found, source),
        )  # fmt: skip

    @staticmethod
    def _chance(found: Expectation, source: Signal) -> Chance:
        """How correlations answer to those before, and squares (what varies of them) to squares."""
        if not found.second > 0:
            return source.chance.scaled(0.0).swung(found.response)
        steep = found.slope_pair(source.correlation(source.pairs.examples)) * source.pairs.level
        loud = source.pairs.level / source.variance if source.variance > 0 else 0.0
        own = (found.response * found.second - found.lifting) * loud
        return source.chance.scaled(steep / found.second, own / found.second).swung(found.response)

    @staticmethod
    def _course(found: Expectation, source: Signal) -> Course | None:
        """How the level of a function runs along a sequence, from that of its source."""
        x = source.course
        if x is None:
            return None
        level, both = source.pairs.level, source.mean**2
        own = np.sqrt(np.maximum(level * x.level - both, 1e-300))
        changed = np.maximum(x.level, 1e-12) ** found.response
        root = np.sqrt(changed)
        pairs = found.pairs((level * x.alike - both) / own[:, None] / own[None, :])
        alike = pairs / found.second if found.second > 0 else np.ones_like(pairs)
        return Course.of(x.counts, changed, alike * root[:, None] * root[None, :])[0]

    def _atom(self, signal: Signal, terms: tuple[tuple[int, float], ...]) -> Signal:
        """Give a signal with a law its terms; one that is no sum of others becomes an atom."""
        if terms:
            return replace(signal, terms=terms)
        number = self.number()
        signal = replace(signal, terms=((number, 1.0),))
        self._sources[number] = signal
        return signal

    # -- two operands ------------------------------------------------------------------------------------------------

    def add(self, x: Signal, y: Signal, sign: float = 1.0) -> Signal:
        """The signal x + y, or x - y."""
        if x.parts or y.parts:
            if len(x.parts) == len(y.parts):
                return self.joined(tuple(self.add(a, b, sign) for a, b in zip(x.parts, y.parts, strict=True)), x)
            x, y = self.merged(x), self.merged(y)
        x, y = lifted(x, y.extent), lifted(y, x.extent)
        assert x.law is not None
        assert y.law is not None
        doubt = x.doubt or y.doubt
        if x.law.source == y.law.source:
            law = Law(x.law.source, x.law.function + (y.law.function if sign > 0 else y.law.function.scaled(sign)))
            if law.function.affine is None:
                return replace(self._atom(self._of_law(law, x), ()), doubt=doubt)
        shared = {atom for atom, _ in x.terms} & {atom for atom, _ in y.terms}
        terms = _sum_of_terms(x, y, sign)
        cross = sign * self._cross(x, y) if shared or self._related(x, y) else None
        mean = x.mean + sign * y.mean
        pairs = x.pairs + y.pairs
        if cross is None:
            pairs = pairs.shifted(2 * sign * x.mean * y.mean)
        else:
            pairs = pairs + self._cross_pairs(x, y, sign, shared).scaled(2.0)
        variance = max(pairs.level - mean**2, 0.0)
        vx, vy = x.variance, y.variance
        total = vx + vy
        blend = (vx / total, vy / total) if total > 0 else (0.5, 0.5)
        skew = blend[0] ** 1.5 * x.skew + sign * blend[1] ** 1.5 * y.skew
        excess = blend[0] ** 2 * x.excess + blend[1] ** 2 * y.excess
        share = x.pairs.level / (x.pairs.level + y.pairs.level) if x.pairs.level + y.pairs.level > 0 else 0.5
        # Products of both are zero on average only.
        beside = x.pairs.beside(y.pairs).likeness(x.extent) / max(x.extent.units, 1) if cross is None else 0.0
        result = replace(
            x, pairs=pairs, mean=mean, skew=0.0 if cross is not None else skew,
            excess=0.0 if cross is not None or not variance else excess,
            noise=(x.noise * share + y.noise * (1 - share)).caused(self.cause(), 4 * share * (1 - share) * beside),
            bond=self._bond(x, y), carried=x.carried * share + y.carried * (1 - share),
            parts=(), rows=None, zero=0.0, doubt=doubt, borders=blended_borders(x.borders, y.borders, share),
            chance=x.chance.beside(y.chance, share, independent=cross is None),
            course=blended(x.course, y.course, share, (x.pairs, y.pairs)),
        )  # fmt: skip
        number = self.number()
        result = replace(result, law=Law(number), terms=terms or ((number, 1.0),))
        self._sources[number] = result
        return result

    def _bond(self, x: Signal, y: Signal) -> Noise:
        """How far that scatters which two positions of a sum have in common."""
        one, two = max(x.pairs.positions, 0.0), max(y.pairs.positions, 0.0)
        share = one / (one + two) if one + two > 0 else 0.5
        crossed = 2 * share * (1 - share) * math.sqrt(x.pairs.bond(x.extent) * y.pairs.bond(y.extent))
        return (x.bond * share + y.bond * (1 - share)).caused(self.cause(), crossed)

    def multiply(self, x: Signal, y: Signal, *, divide: bool = False) -> Signal:
        """The signal x · y (or x / y)."""
        if x.parts or y.parts:
            if len(x.parts) == len(y.parts):
                both = zip(x.parts, y.parts, strict=True)
                return self.joined(tuple(self.multiply(a, b, divide=divide) for a, b in both), x)
            x, y = self.merged(x), self.merged(y)
        x, y = lifted(x, y.extent), lifted(y, x.extent)
        assert x.law is not None
        assert y.law is not None
        if x.law.source == y.law.source:
            first, second = x.law.function, y.law.function
            law = Law(x.law.source, first / second if divide else first * second)
            return replace(self._atom(self._of_law(law, x), ()), doubt=x.doubt or y.doubt)
        if divide:
            y = self.apply(RECIPROCAL, y)
        pairs, course = times(x.course, x.pairs, y.course, y.pairs)
        fourth = kurtosis(x) * kurtosis(y)
        own = self._crossed(x, y) / max(x.extent.units, 1)
        mean = x.mean * y.mean
        variance = max(pairs.level - mean**2, 0.0)
        cube = third(x) * third(y) - 3 * mean * pairs.level + 2 * mean**3
        skew = cube / variance**1.5 if variance > 0 else 0.0
        product = self.fresh(
            replace(
                x,
                pairs=pairs,
                mean=mean,
                skew=skew,
                excess=bounded(fourth - 3),
                noise=(x.carried + y.carried).caused(self.cause(), own),
                carried=x.carried + y.carried,
                parts=(),
                course=course,
                rows=None,
                zero=1 - (1 - x.zero) * (1 - y.zero),
                doubt=x.doubt or y.doubt,
            )
        )
        self._factors[product.terms[0][0]] = ((x, y), (y, x))
        return product

    def squares(self, x: Signal) -> tuple[Pairs, float]:
        """How squares of a signal go together, by kinds of pairs, and what correlations by chance add to that."""
        source = None if x.law is None else self.source(x.law.source)
        if x.law is None or source is None or source.extent != x.extent:  # repeated along an axis
            level, more = x.pairs.level, kurtosis(x) - 1
            return x.pairs.each(lambda v: more * min((v / level) ** 2, 1.0) if level > 0 else 0.0), x.chance.left
        found = self.expectation(x.law)
        return squares(found, source), by_chance(found, source)

    def _crossed(self, x: Signal, y: Signal) -> float:
        """Of a mean of squares of products: its relative variance, times the number of units."""
        (one, first), (two, second) = self.squares(x), self.squares(y)
        return (one + two + one * two).observed(x.extent) + first + second

    def share_in(self, x: Signal, atom: int) -> float:
        """How much of an atom x is: one where it is x, the mean of the other factor where it is a product with x."""
        if x.terms == ((atom, 1.0),):
            return 1.0
        found = (other.mean for one, other in self._factors.get(atom, ()) if one.law is not None and one.law == x.law)
        return next(found, 0.0)

    def regression(self, x: Signal, on: Signal) -> float:
        """How much of x moves with y: Cov(x, y) / Var y, nothing where they share no source.

        Of a term of y that is a product, the factor that x has to do with counts, times the mean of the other.
        """
        if not on.variance > 0:
            return 0.0
        covariance = self._covariance(x, on)
        for atom, share in on.terms:
            for one, other in self._factors.get(atom, ()):
                covariance += share * other.mean * self._covariance(x, one)
        return covariance / on.variance

    def _covariance(self, x: Signal, y: Signal) -> float:
        shared = {a for a, _ in x.terms} & {a for a, _ in y.terms}
        return self._cross(x, y) - x.mean * y.mean if shared or self._related(x, y) else 0.0

    def _related(self, x: Signal, y: Signal) -> bool:
        """Whether an atom of one is a function of a source that is an atom of the other."""
        ys, xs = {a for a, _ in y.terms}, {a for a, _ in x.terms}
        return any(self._origin(a) in ys for a in xs) or any(self._origin(a) in xs for a in ys)

    def _origin(self, atom: int) -> int:
        law = self._sources[atom].law
        return atom if law is None else law.source

    def _cross(self, x: Signal, y: Signal) -> float:
        """E x·y."""
        total = 0.0
        for a, p in x.terms:
            for b, q in y.terms:
                total += p * q * self._product(a, b)
        return total

    def _product(self, a: int, b: int) -> float:
        first, second = self._sources[a], self._sources[b]
        if a == b:
            return first.pairs.level
        if first.law is not None and second.law is not None and first.law.source == second.law.source:
            both = Law(first.law.source, first.law.function * second.law.function)
            return self.expectation(both).mean
        return first.mean * second.mean

    def _cross_pairs(self, x: Signal, y: Signal, sign: float, shared: set[int]) -> Pairs:
        """E x·y of one element and of pairs: what is shared keeps its own correlations."""
        whole = sign * self._cross(x, y)
        mine, yours = dict(x.terms), dict(y.terms)
        common = Pairs(0.0)
        offset = x.mean * y.mean
        for atom in shared:
            known = self._sources[atom]
            weight = mine[atom] * yours[atom]
            common = common + known.pairs.scaled(weight)
            offset -= weight * known.mean**2
        common = common.shifted(offset).scaled(sign)
        return replace(common, level=whole)

    # -- parts -------------------------------------------------------------------------------------------------------

    def joined(self, parts: tuple[Signal, ...], like: Signal) -> Signal:
        """Signals side by side along the units, as one that remembers them."""
        whole = mixture(parts)
        return replace(
            like, pairs=whole.pairs, mean=whole.mean, skew=whole.skew, excess=whole.excess, noise=whole.noise,
            carried=whole.carried, law=None, terms=(), parts=parts, rows=None, zero=whole.zero, chance=whole.chance,
            doubt=next((p.doubt for p in parts if p.doubt), ""), borders=whole.borders,
            extent=replace(like.extent, units=whole.extent.units),
        )  # fmt: skip

    def merged(self, x: Signal) -> Signal:
        """A signal whose parts do not matter any more."""
        return self.fresh(replace(x, parts=())) if x.parts else x


RECIPROCAL = Function(("reciprocal",), lambda x: 1 / x, lambda x: -1 / x**2, (0.0,))


def _sum_of_terms(x: Signal, y: Signal, sign: float) -> tuple[tuple[int, float], ...]:
    """The terms of a sum: those of both, which share their records where no atom is in both."""
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
