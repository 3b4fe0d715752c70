"""Functions of one variable with exact derivatives, closed under composition, sums, products and quotients.

A chain of elementwise operations on one signal is one function of that signal, so its moments follow from one integral.
Moments taken step by step would ignore that the steps depend on each other (``x * x`` is not ``x * y``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np

from gainstage.theory.activations import Activation, Array, Elementwise

__all__ = ["IDENTITY", "Function"]

_REACH = 60.0
_GRID = np.linspace(-_REACH, _REACH, 1201) + 0.0137  # grid on which kinks of compositions are searched
_BISECTIONS = 60
_HALF = 0.5**0.5


@dataclass(frozen=True, slots=True)
class Function:
    """An elementwise function with its derivative and the points where either is not smooth.

    Args:
        key: equal for equal functions; moments are cached under it.
        value: f, float64 array to array.
        slope: f', likewise.
        kinks: points where f or f' has a jump or a kink.
        affine: (factor, offset) of a straight line; None for anything else.

    >>> from gainstage.theory import activation
    >>> relu = Function.of(activation("relu"))
    >>> doubled = relu + relu
    >>> doubled.value(np.array([-1.0, 2.0])).tolist(), doubled.slope(np.array([-1.0, 2.0])).tolist()
    ([0.0, 4.0], [0.0, 2.0])
    >>> relu.after(IDENTITY.scaled(2.0).shifted(1.0)).kinks
    (-0.5,)
    """

    key: Hashable
    value: Elementwise = field(compare=False)
    slope: Elementwise = field(compare=False)
    kinks: tuple[float, ...] = field(default=(), compare=False)
    affine: tuple[float, float] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, activation: Activation) -> Function:
        """Wrap an activation of the table, or a user's own."""
        name = (activation.name, activation.settings) if activation.summary else ("own", id(activation))
        return cls(name, activation.function, activation.derivative, activation.kinks)

    def scaled(self, factor: float) -> Function:
        """Return ``factor`` · f."""
        line = None if self.affine is None else (factor * self.affine[0], factor * self.affine[1])
        return Function(
            ("scaled", factor, self.key),
            lambda x: factor * self.value(x),
            lambda x: factor * self.slope(x),
            self.kinks,
            line,
        )

    def shifted(self, offset: float) -> Function:
        """Return f + ``offset``."""
        line = None if self.affine is None else (self.affine[0], self.affine[1] + offset)
        return Function(("shifted", offset, self.key), lambda x: self.value(x) + offset, self.slope, self.kinks, line)

    def after(self, inner: Function) -> Function:
        """Return the composition f(inner)."""
        if inner.key == IDENTITY.key:
            return self
        if self.key == IDENTITY.key:
            return inner
        kinks = {*inner.kinks, *_preimages(inner, self.kinks)}
        return Function(
            ("after", self.key, inner.key),
            lambda x: self.value(inner.value(x)),
            lambda x: self.slope(inner.value(x)) * inner.slope(x),
            tuple(sorted(kinks)),
        )

    def mirrored(self, sign: float) -> Function:
        """(f(x) ± f(-x)) / √2: what two units of opposite input bring together, or, with -1, one of them against
        the other.
        """
        both = {*self.kinks, *(-kink for kink in self.kinks)}
        return Function(
            ("mirrored", sign, self.key),
            lambda x: (self.value(x) + sign * self.value(-x)) * _HALF,
            lambda x: (self.slope(x) - sign * self.slope(-x)) * _HALF,
            tuple(sorted(both)),
        )

    def slope_after(self, inner: Function) -> Function:
        """Return f'(inner), the factor on a gradient."""
        kinks = {*inner.kinks, *_preimages(inner, self.kinks)}
        return Function(
            ("slope", self.key, inner.key), lambda x: self.slope(inner.value(x)), _no_slope, tuple(sorted(kinks))
        )

    def __add__(self, other: Function) -> Function:
        """Return f + g."""
        both = self.affine is not None and other.affine is not None
        line = (self.affine[0] + other.affine[0], self.affine[1] + other.affine[1]) if both else None  # type: ignore[index]
        return Function(
            ("sum", self.key, other.key),
            lambda x: self.value(x) + other.value(x),
            lambda x: self.slope(x) + other.slope(x),
            _union(self, other),
            line,
        )

    def __mul__(self, other: Function) -> Function:
        """Return f · g."""
        return Function(
            ("product", self.key, other.key),
            lambda x: self.value(x) * other.value(x),
            lambda x: self.slope(x) * other.value(x) + self.value(x) * other.slope(x),
            _union(self, other),
        )

    def __truediv__(self, other: Function) -> Function:
        """Return f / g."""
        return Function(
            ("ratio", self.key, other.key),
            lambda x: self.value(x) / other.value(x),
            lambda x: (self.slope(x) * other.value(x) - self.value(x) * other.slope(x)) / other.value(x) ** 2,
            _union(self, other),
        )


def _no_slope(x: Array) -> Array:
    """Return NaN, since second derivatives are never used."""
    return np.full_like(x, np.nan)


def _union(first: Function, second: Function) -> tuple[float, ...]:
    return tuple(sorted({*first.kinks, *second.kinks}))


def _preimages(inner: Function, levels: tuple[float, ...]) -> list[float]:
    """Return the points where ``inner`` crosses one of the levels."""
    if not levels:
        return []
    if inner.affine is not None:
        factor, offset = inner.affine
        return [(level - offset) / factor for level in levels] if factor else []
    values = inner.value(_GRID)
    places: list[float] = []
    for level in levels:
        above = values > level
        crossed = np.flatnonzero(above[1:] != above[:-1]).tolist()
        places += [_bisected(inner.shifted(-level).value, _GRID[i], _GRID[i + 1]) for i in crossed]
    return places


def _bisected(function: Callable[[Array], Array], left: float, right: float) -> float:
    rising = bool(function(np.array([right]))[0] > 0)
    for _ in range(_BISECTIONS):
        middle = (left + right) / 2
        if bool(function(np.array([middle]))[0] > 0) is rising:
            right = middle
        else:
            left = middle
    return (left + right) / 2


IDENTITY = Function(("identity",), lambda x: x, np.ones_like, affine=(1.0, 0.0))
