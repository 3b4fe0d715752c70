"""Third and fourth moments of functions of a source and of signals."""

from __future__ import annotations

from gainstage.propagation.expectation import Expectation
from gainstage.propagation.signal import Signal

__all__ = ["bounded", "cumulants", "kurtosis", "third"]


def cumulants(found: Expectation) -> tuple[float, float]:
    """Return skewness and excess kurtosis of f(s)."""
    variance = found.second - found.mean**2
    if not variance > 1e-12 * max(found.second, 1e-300):
        return 0.0, 0.0
    m = found.mean
    cube = found.third - 3 * m * found.second + 2 * m**3
    fourth = found.fourth - 4 * m * found.third + 6 * m * m * found.second - 3 * m**4
    return cube / variance**1.5, fourth / variance**2 - 3


def kurtosis(x: Signal) -> float:
    """Return E x⁴ / (E x²)²."""
    level = x.pairs.level
    if not level > 0:
        return 1.0
    v, m = x.variance, x.mean
    fourth = (3 + x.excess) * v * v + 4 * m * x.skew * v**1.5 + 6 * m * m * v + m**4
    return float(max(fourth / level**2, 1.0))


def third(x: Signal) -> float:
    """Return E x³."""
    return float(x.skew * x.variance**1.5 + 3 * x.mean * x.variance + x.mean**3)


def bounded(excess: float) -> float:
    """Limit the excess kurtosis to 6, since Edgeworth's series fails far from a Gaussian."""
    return min(excess, 6.0)
