"""Dependences of gradients that arrive together: functions of one source that add up, or whose squares do."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from gainstage.propagation.function import Function
from gainstage.propagation.signal import FunctionOf, PendingGradient
from gainstage.theory.activations import Array

__all__ = ["ONE", "added", "root_mean_square_dependence"]

ONE = Function(("one",), lambda x: x * 0 + 1, lambda x: x * 0, affine=(0.0, 1.0))


def added(flows: list[PendingGradient]) -> list[PendingGradient]:
    """Merge one gradient that arrives on several paths: its factors add up where they are functions of one source."""
    sources = {f.dependence.source for f in flows if f.dependence is not None}
    if len(flows) == 1 or len(sources) > 1:
        return flows
    if not sources:
        return [replace(flows[0], factor=sum(f.factor for f in flows))]
    total, pair_function = (
        reduce(add, (function.scaled(f.factor) for function, f in zip(each, flows, strict=True)))
        for each in _functions(flows)
    )
    return [replace(flows[0], factor=1.0, dependence=_dependence(sources.pop(), total, pair_function, flows))]


def _functions(flows: list[PendingGradient]) -> tuple[list[Function], list[Function]]:
    """Return the factor of every gradient for one element, and for pairs of elements."""
    laws = [f.dependence if f.dependence is not None else FunctionOf(-1, ONE) for f in flows]
    return [dependence.function for dependence in laws], [dependence.for_pairs.function for dependence in laws]


def _dependence(source: int, function: Function, pair_function: Function, flows: list[PendingGradient]) -> FunctionOf:
    """Return a dependence with a pair function where one of the gradients has one."""
    differs = any(f.dependence is not None and f.dependence.pair_function is not None for f in flows)
    return FunctionOf(source, function, pair_function if differs else None)


def root_mean_square_dependence(source: int, flows: list[PendingGradient]) -> FunctionOf:
    """Return √Σ w f² for a sum of independent gradients with factors f."""
    functions, pair_function = _functions(flows)
    levels = [f.base.level * f.factor**2 for f in flows]
    # For pairs of positions, the gradients are weighted by their covariance between positions.
    alike = [max(f.base.positions, 0.0) * f.factor**2 for f in flows]
    weights = [v / sum(levels) for v in levels]
    both = [a / sum(alike) for a in alike] if sum(alike) > 0 else weights
    return _dependence(source, _root_mean_square(functions, weights), _root_mean_square(pair_function, both), flows)


def _root_mean_square(functions: list[Function], weights: list[float]) -> Function:
    """Return the function √Σ w f²."""
    kinks = tuple(sorted({kink for f in functions for kink in f.kinks}))

    def value(x: Array) -> Array:
        squares = (w * f.value(x) ** 2 for w, f in zip(weights, functions, strict=True))
        return np.asarray(np.sqrt(sum(squares)))

    return Function(
        ("rms", *((w, f.key) for w, f in zip(weights, functions, strict=True))), value, np.zeros_like, kinks
    )
