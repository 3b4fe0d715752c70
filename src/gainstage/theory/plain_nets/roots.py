"""Sign changes of a function of one positive variable."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["bracket", "root"]


def bracket(function: Callable[[float], float], start: float, factor: float, end: float) -> tuple[float, float] | None:
    """Return the first interval in which the sign changes, from ``start`` to ``end`` in steps of ``factor``.

    Returns:
        Its two ends, in the order of the search; None where the sign never changes.
    """
    here, sign = start, math.copysign(1.0, function(start))
    while (here < end) if factor > 1 else (here > end):
        following = min(here * factor, end) if factor > 1 else max(here * factor, end)
        if sign * function(following) <= 0:
            return here, following
        here = following
    return None


def root(function: Callable[[float], float], one: float, other: float, tolerance: float = 1e-13) -> float:
    """Return the sign change between two positive numbers, by regula falsi in the logarithm (Illinois variant).

    >>> from gainstage.theory.plain_nets.roots import root
    >>> round(root(lambda x: x * x - 2, 1.0, 2.0), 12)
    1.414213562373
    """
    a, b = math.log(one), math.log(other)
    fa, fb = function(one), function(other)
    if fa == 0 or fb == 0:
        return one if fa == 0 else other
    for _ in range(200):
        c = (a * fb - b * fa) / (fb - fa)
        if not min(a, b) < c < max(a, b):
            c = (a + b) / 2
        fc = function(math.exp(c))
        if fc == 0:
            return math.exp(c)
        if fb * fc < 0:
            a, fa = b, fb
        else:
            fa /= 2
        b, fb = c, fc
        if abs(b - a) < tolerance:
            break
    return math.exp(b)
