"""Computes figures with 95 % confidence intervals from a small number of independent draws or trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gainstage.errors import InputError
from gainstage.records import Figure

__all__ = ["exact", "factor", "mean", "share"]

CONFIDENCE = 0.95


def exact(name: str, value: float, case: str = "", unit: str = "") -> Figure:
    """Return a figure that is not random, so that its interval has zero width.

    >>> exact("slope of sigmoid at 0", 0.25).n
    0
    """
    return Figure(name, value, value, value, unit, 0, case)


def mean(name: str, values: Sequence[float], case: str = "", unit: str = "", *, resolution: float = 0.0) -> Figure:
    """Return the mean with Student's interval; the interval of one value alone is infinite.

    Values on a grid can agree because of the grid, so the interval is extended by half a ``resolution`` on both sides.

    Raises:
        InputError: there are no values.

    >>> figure = mean("accuracy", [0.9, 0.92, 0.94])
    >>> round(figure.value, 3), round(figure.low, 3), figure.n
    (0.92, 0.87, 3)
    """
    if not len(values):
        raise InputError(f"The figure '{name}' needs at least one value.")
    array = np.asarray(values, np.float64)
    middle, half = float(array.mean()), _half_width(array) + resolution / 2
    return Figure(name, middle, middle - half, middle + half, unit, len(array), case)


def factor(name: str, values: Sequence[float], case: str = "", unit: str = "", *, resolution: float = 1.0) -> Figure:
    """Return the geometric mean of positive values, with Student's interval of their logarithms.

    ``resolution`` is the ratio of neighbouring values, where the values lie on a grid.

    Raises:
        InputError: there are no values, or one is not positive.

    >>> figure = factor("growth", [1.0, 10.0, 100.0])
    >>> round(figure.value, 6)
    10.0
    """
    if not len(values) or not min(values) > 0:
        raise InputError(f"The figure '{name}' needs positive values; received {[*values][:5]}.")
    logs = np.log(np.asarray(values, np.float64))
    middle, half = float(logs.mean()), _half_width(logs) + math.log(resolution) / 2
    return Figure(name, _exp(middle), _exp(middle - half), _exp(middle + half), unit, len(logs), case)


def share(name: str, hits: float, n: int, case: str = "") -> Figure:
    """Return a share with Wilson's interval, which stays between 0 and 1 and has positive width at both ends.

    Source: Wilson 1927.

    Raises:
        InputError: there are no trials, or there are more hits than trials.

    >>> figure = share("diverged", 5, 5)
    >>> figure.value, round(figure.low, 3), figure.high
    (1.0, 0.566, 1.0)
    """
    if not 0 <= hits <= n or n < 1:
        raise InputError(f"The share '{name}' needs 0 ≤ hits ≤ n and n ≥ 1; received {hits} of {n}.")
    z = 1.959963984540054  # the 97.5 % point of the normal distribution
    p, weight = hits / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / weight
    half = z / weight * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = (0.0 if hits == 0 else centre - half), (1.0 if hits == n else centre + half)
    return Figure(name, p, low, high, "", n, case)


def _half_width(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    from scipy.special import stdtrit

    n = len(values)
    if n == 1:
        return math.inf
    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2) * values.std(ddof=1) / math.sqrt(n))


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))  # larger exponents overflow
