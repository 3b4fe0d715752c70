"""Computes confidence intervals by resampling, for few seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import InputError
from gainstage.records import Figure
from gainstage.statistics.figures import CONFIDENCE, share

__all__ = ["beats", "interquartile_mean", "interval", "paired_difference", "paired_ratio"]

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""A statistic of an array, taken along the last axis."""

_RESAMPLES = 20_000
_IN_THE_TAIL = 10
"""The smallest number of resamples beyond an end of an interval for which that end is reliable."""


def interval(values: Sequence[float], statistic: Statistic, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return a bootstrap confidence interval of a mean-like statistic, widened for few values.

    Percentiles of resamples are too narrow for few values: by √(n/(n−1)), and by the ratio of Student's quantile to the
    normal one. Their level is chosen to compensate for both (Hesterberg, What teachers should know about the bootstrap,
    2015, section 3.2). Where this level is beyond what n values (nⁿ resamples exist) or the number of drawn resamples
    can resolve, Student's interval is returned.

    Args:
        values: one value per independent draw.
        statistic: a function of an array, along its last axis.
        confidence: confidence level of the interval.

    >>> low, high = interval([0.9, 0.92, 0.94, 0.93, 0.91, 0.95], lambda v: v.mean(-1))
    >>> 0.90 < low < 0.925 < high < 0.95
    True
    """
    from scipy.special import ndtr, stdtrit

    array = np.asarray(values, np.float64)
    n = len(array)
    if n == 1:
        return -math.inf, math.inf
    reach = float(stdtrit(n - 1, (1 + confidence) / 2))
    tail = float(ndtr(-reach * math.sqrt(n / (n - 1))))
    if tail >= float(n) ** -n and tail * _RESAMPLES >= _IN_THE_TAIL:
        chosen = np.random.default_rng(0).integers(0, n, (_RESAMPLES, n))
        low, high = np.quantile(statistic(array[chosen]), (tail, 1 - tail))
        return float(low), float(high)
    middle = float(statistic(array))
    half = reach * float(array.std(ddof=1)) / math.sqrt(n)
    return middle - half, middle + half


def interquartile_mean(
    name: str, values: Sequence[float], case: str = "", unit: str = "", *, resolution: float = 0.0
) -> Figure:
    """Return the mean of the middle half of the values, with its interval.

    It is nearly as precise as the mean, and a single outlier does not change it. A quarter of the values is removed at
    each end, with fractional weights where a quarter is no whole number of values. Source: Agarwal et al. 2021, Deep
    reinforcement learning at the edge of the statistical precipice.

    Args:
        name, case, unit: as in ``Figure``.
        values: one value per training.
        resolution: distance between grid values, where the values lie on a grid; the interval is extended by half of
            it.

    Raises:
        InputError: there are no values.

    >>> interquartile_mean("accuracy", [0.1, 0.9, 0.9, 0.92, 0.92, 0.94, 0.94, 0.95]).value
    0.92
    """
    if not len(values):
        raise InputError(f"The figure '{name}' needs at least one value.")
    low, high = interval(values, _middle_half)
    value = round(float(_middle_half(np.asarray(values, np.float64))), 12)
    return Figure(name, value, low - resolution / 2, high + resolution / 2, unit, len(values), case)


def _middle_half(values: Array) -> Array:
    n = values.shape[-1]
    edges = np.arange(n + 1) / n
    weights = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0, None) * 2
    result: Array = np.sort(values, axis=-1) @ weights
    return result


def paired_difference(
    name: str,
    first: Sequence[float],
    second: Sequence[float],
    case: str = "",
    *,
    comparisons: int = 1,
    resolution: float = 0.0,
) -> Figure:
    """Return the mean of first − second over pairs, with an interval that holds jointly for all comparisons.

    Args:
        name, case: as in ``Figure``.
        first, second: values of the same seeds in the same order.
        comparisons: number of intervals that hold jointly; each gets its share of the 5 % (Bonferroni).
        resolution: distance between grid values, where the values lie on a grid; the interval is extended by half of
            it.

    Raises:
        InputError: there are no pairs, or the numbers of values differ.

    >>> figure = paired_difference("accuracy", [0.95, 0.96, 0.97], [0.5, 0.51, 0.52])
    >>> round(figure.value, 6), figure.n
    (0.45, 3)
    """
    if not len(first) or len(first) != len(second):
        raise InputError(f"The difference '{name}' needs pairs; received {len(first)} and {len(second)} values.")
    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    confidence = 1 - (1 - CONFIDENCE) / max(comparisons, 1)
    low, high = interval(differences.tolist(), lambda v: v.mean(axis=-1), confidence=confidence)
    middle = float(differences.mean())
    return Figure(name, middle, low - resolution / 2, high + resolution / 2, "", len(differences), case)


def paired_ratio(
    name: str,
    first: Sequence[float],
    second: Sequence[float],
    case: str = "",
    *,
    comparisons: int = 1,
    resolution: float = 1.0,
) -> Figure:
    """Return the geometric mean of first / second over pairs: ``paired_difference`` of the logarithms.

    Args:
        name, case, comparisons: as in ``paired_difference``.
        first, second: positive values of the same seeds in the same order.
        resolution: ratio of neighbouring grid values, where the values lie on a grid.

    Raises:
        InputError: there are no pairs, the numbers of values differ, or a value is not positive.

    >>> figure = paired_ratio("steps", [40, 44, 42], [10, 11, 10.5])
    >>> round(figure.value, 6)
    4.0
    """
    if any(not value > 0 for value in (*first, *second)):
        raise InputError(f"The ratio '{name}' needs positive values; received {[*first][:5]} and {[*second][:5]}.")
    ones, others = ([math.log(value) for value in values] for values in (first, second))
    found = paired_difference(name, ones, others, case, comparisons=comparisons, resolution=math.log(resolution))
    low, high = (math.exp(min(edge, 700.0)) for edge in (found.low, found.high))  # larger exponents overflow
    return Figure(name, math.exp(found.value), low, high, "", found.n, case)


def beats(name: str, first: Sequence[float], second: Sequence[float], case: str = "") -> Figure:
    """Return the probability that a training of the first is above one of the second; ties count half.

    The estimate uses all pairs of trainings (Mann and Whitney 1947). Wilson's interval is computed for as many trials
    as the smaller group has trainings. It is wider than needed, since all pairs contain more information.

    Raises:
        InputError: one of the two is empty.

    >>> beats("accuracy", [0.9, 0.8], [0.7, 0.8]).value
    0.875
    """
    if not len(first) or not len(second):
        raise InputError(f"The probability '{name}' needs values on both sides; received {len(first)}, {len(second)}.")
    ones, others = np.asarray(first, np.float64)[:, None], np.asarray(second, np.float64)[None, :]
    probability = float(((ones > others) + 0.5 * (ones == others)).mean())
    n = min(len(first), len(second))
    return share(name, probability * n, n, case)
