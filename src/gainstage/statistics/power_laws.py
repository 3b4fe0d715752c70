"""Power laws through values at several sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gainstage.records import Slope

__all__ = ["power_law"]


def power_law(sizes: Sequence[float], values: Sequence[Sequence[float]]) -> Slope | None:
    """Return the exponent of value ~ size^s by least squares on logarithms, with Student's interval.

    Args:
        sizes: at least two different ones.
        values: for every size the values of its draws, at least one; values that are not positive are left out.

    Returns:
        None where fewer than two sizes have a value. With two points alone the interval has no width.

    >>> found = power_law([64, 128, 256], [[1.0], [2.0], [4.0]])
    >>> round(found.value, 6), round(found.high - found.low, 6)
    (1.0, 0.0)
    """
    points = [
        (math.log(size), math.log(value))
        for size, draws in zip(sizes, values, strict=True)
        for value in draws
        if 0 < value < math.inf
    ]
    if len({x for x, _ in points}) < 2:
        return None
    x, y = np.array(points).T
    apart = x - x.mean()
    slope = float(apart @ y / (apart @ apart))
    free = len(points) - 2
    if free < 1:
        return Slope(slope, slope, slope)
    from scipy.stats import t

    rest = y - y.mean() - slope * apart
    half = float(t.ppf(0.975, free)) * math.sqrt(float(rest @ rest) / free / float(apart @ apart))
    return Slope(slope, slope - half, slope + half)
