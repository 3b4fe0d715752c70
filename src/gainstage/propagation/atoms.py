"""Sources and atoms of one prediction, and how two signals that are made of them vary together.

A tensor is a function of one *source*, element by element, and a sum of *atoms*. Two signals have a covariance where
they share an atom, or where an atom of one is a function of a source that is an atom of the other.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from gainstage.propagation.expectation import Expectation, Expectations
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import FunctionOf, Signal

__all__ = ["Atoms"]


class Atoms:
    """All sources and atoms of one prediction, by number."""

    def __init__(self) -> None:
        self.expectations = Expectations()
        self._sources: dict[int, Signal] = {}
        self._factors: dict[int, tuple[tuple[Signal, Signal], ...]] = {}
        self._numbers, self._causes = count(), count()

    def number(self) -> int:
        """Return an unused number for a source or an atom."""
        return next(self._numbers)

    def cause(self) -> int:
        """Return an unused number for a cause of draw-to-draw variance."""
        return next(self._causes)

    def source(self, number: int) -> Signal:
        """Return the signal that is a source or an atom with this number."""
        return self._sources[number]

    def new_source(self, signal: Signal) -> Signal:
        """Register a tensor that is independent of all others: a source and an atom of its own."""
        number = self.number()
        signal = replace(signal, dependence=FunctionOf(number), terms=((number, 1.0),))
        self._sources[number] = signal
        return signal

    def expectation(self, dependence: FunctionOf, largest_of: int = 1) -> Expectation:
        """Integrate the function of a dependence over its source; with ``largest_of`` over the largest of so many
        correlated values.
        """
        source = self._sources[dependence.source]
        common = source.correlation(source.pairs.neighbour) if largest_of > 1 else 0.0
        return self.expectations.of(dependence.function, source.marginal, largest_of, common)

    # -- how two signals vary together ---------------------------------------------------------------------------------

    def share_in(self, x: Signal, atom: int) -> float:
        """Return the coefficient of ``x`` in an atom: 1 where the atom is x, E y where the atom is x·y, 0 otherwise."""
        if x.terms == ((atom, 1.0),):
            return 1.0
        found = (
            other.mean
            for one, other in self._factors.get(atom, ())
            if one.dependence is not None and one.dependence == x.dependence
        )
        return next(found, 0.0)

    def regression(self, x: Signal, on: Signal) -> float:
        """Return the regression coefficient Cov(x, on) / Var(on); 0 where both share no source.

        Where a term of ``on`` is a product, the factor that depends on x counts, times the mean of the other factor.
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
        """Report whether an atom of one signal is a function of a source that is an atom of the other."""
        ys, xs = {a for a, _ in y.terms}, {a for a, _ in x.terms}
        return any(self._origin(a) in ys for a in xs) or any(self._origin(a) in xs for a in ys)

    def _origin(self, atom: int) -> int:
        dependence = self._sources[atom].dependence
        return atom if dependence is None else dependence.source

    def _cross(self, x: Signal, y: Signal) -> float:
        """Return E x·y of the same element."""
        total = 0.0
        for a, p in x.terms:
            for b, q in y.terms:
                total += p * q * self._product(a, b)
        return total

    def _product(self, a: int, b: int) -> float:
        first, second = self._sources[a], self._sources[b]
        if a == b:
            return first.pairs.level
        if (
            first.dependence is not None
            and second.dependence is not None
            and first.dependence.source == second.dependence.source
        ):
            both = FunctionOf(first.dependence.source, first.dependence.function * second.dependence.function)
            return self.expectation(both).mean
        return first.mean * second.mean

    def _cross_pairs(self, x: Signal, y: Signal, sign: float, shared: set[int]) -> SecondMoments:
        """Return E x·y of the same element and of pairs; shared atoms keep their own pair moments."""
        whole = sign * self._cross(x, y)
        mine, yours = dict(x.terms), dict(y.terms)
        common = SecondMoments(0.0)
        offset = x.mean * y.mean
        for atom in shared:
            known = self._sources[atom]
            weight = mine[atom] * yours[atom]
            common = common + known.pairs.scaled(weight)
            offset -= weight * known.mean**2
        common = common.shifted(offset).scaled(sign)
        return replace(common, level=whole)
