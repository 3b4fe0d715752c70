"""Ratios within one run: a shared machine drifts, and two things timed in turn drift together."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median


def paired(first: Callable[[], object], second: Callable[[], object], runs: int = 9) -> tuple[float, float]:
    """Median seconds of ``first``, and the median over pairs of second / first, after one warm-up of each."""
    first(), second()
    times, ratios = [], []
    for _ in range(runs):
        start = time.perf_counter()
        first()
        middle = time.perf_counter()
        second()
        end = time.perf_counter()
        times.append(middle - start)
        ratios.append((end - middle) / (middle - start))
    return median(times), median(ratios)


def row(name: str, figure: str, target: str) -> None:
    """One line of a table: what, measured, aimed at."""
    print(f"{name:<58} {figure:>22}   {target}")
