"""Draws a row of numbers as a row of bars, on a logarithmic scale."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

__all__ = ["log_limits", "sparkline"]

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.:-=+*#"
NOT_A_NUMBER, ZERO, MISSING = "!", "0", " "
WIDEST_BAR = 3


def log_limits(*rows: Iterable[float | None]) -> tuple[float, float]:
    """Return the range of log10 over all positive values, extended to a decade so that noise resembles no trend."""
    logs = [math.log10(v) for row in rows for v in row if v is not None and 0 < v < math.inf]
    low, high = min(logs, default=0.0), max(logs, default=0.0)
    room = max(1 - (high - low), 0) / 2
    return low - room, high + room


def sparkline(
    values: Sequence[float | None], columns: int, *, limits: tuple[float, float] | None = None, unicode: bool = True
) -> str:
    """Draw one bar per value; neighbours share a bar where there are more values than columns.

    ``!`` stands for NaN and infinity, ``0`` for an exact zero, a space for a value that was not measured. A shared bar
    shows the first of these that occurs among its values, else their geometric mean.

    Args:
        values: the values, in order.
        columns: largest number of characters.
        limits: (lowest, highest) log10 of the scale; by default those of the values.
        unicode: whether block characters can be printed.

    >>> sparkline([1.0, 0.1, 0.01, 0.0, float("nan")], 5)
    '█▅▁0!'
    """
    if not values or columns < 1:
        return ""
    low, high = limits or log_limits(values)
    bars = BARS if unicode else ASCII_BARS
    cells = min(columns, len(values))
    bounds = [i * len(values) // cells for i in range(cells + 1)]
    marks = [_mark(values[a:b], low, high, bars) for a, b in itertools.pairwise(bounds)]
    return "".join(mark * max(1, min(WIDEST_BAR, columns // len(values))) for mark in marks)


def _mark(values: Sequence[float | None], low: float, high: float, bars: str) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return MISSING
    if not all(math.isfinite(v) for v in known):
        return NOT_A_NUMBER
    if any(v <= 0 for v in known):
        return ZERO
    level = (math.fsum(math.log10(v) for v in known) / len(known) - low) / (high - low)
    return bars[min(max(int(level * len(bars)), 0), len(bars) - 1)]
