"""Ratios within one run: a shared machine drifts, and two things timed in turn drift together."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median


def paired(
    first: Callable[[], object],
    second: Callable[[], object],
    runs: int = 9,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Median seconds of ``first``, and the median over pairs of second / first, after one warm-up of each.

    With ``time.process_time`` as the clock, what other processes do counts little; with several threads it would add
    up their times.
    """
    first(), second()
    times, ratios = [], []
    for _ in range(runs):
        start = clock()
        first()
        middle = clock()
        second()
        end = clock()
        times.append(middle - start)
        ratios.append((end - middle) / (middle - start))
    return median(times), median(ratios)


def row(name: str, figure: str, target: str) -> None:
    """One line of a table: what, measured, aimed at."""
    print(f"{name:<58} {figure:>22}   {target}")
