"""Both halves in the same figures."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from second_list.rows import Row

__all__ = ["Figures", "by_case", "figures", "table"]

NEAR, FAR = 0.10, 0.25


@dataclass(frozen=True, slots=True)
class Figures:
    """One direction of some architectures.

    Args:
        cases: the number of architectures, batches of 8 and of 64 counted apart.
        operations: the number of figures compared.
        median: the median relative error.
        near: share of operations within 10 %.
        nine_of_ten: share of architectures within 10 % at nine operations of ten.
        doubted: share of operations with a doubt.
        silent: share of the undoubted operations that are off by more than 25 %.
        held: share of single draws of the undoubted operations within their band.
    """

    cases: int
    operations: int
    median: float
    near: float
    nine_of_ten: float
    doubted: float
    silent: float
    held: float


def figures(rows: Sequence[Row]) -> Figures:
    """Summarise the rows of one direction."""
    firm = [row for row in rows if not row.doubt]
    per_case = [mean(row.within(NEAR) for row in chosen) for chosen in by_case(rows).values()]
    return Figures(
        len(per_case),
        len(rows),
        statistics.median(row.relative for row in rows) if rows else math.nan,
        mean(row.within(NEAR) for row in rows),
        mean(share >= 0.9 for share in per_case),
        mean(bool(row.doubt) for row in rows),
        mean(not row.within(FAR) for row in firm),
        mean(row.inside for row in firm),
    )


def mean(values) -> float:
    """The mean; nan of nothing."""
    found = [float(value) for value in values]
    return sum(found) / len(found) if found else math.nan


def by_case(rows: Sequence[Row]) -> dict[tuple[str, int], list[Row]]:
    """The rows of each architecture and size of batch."""
    key = lambda row: (row.case, row.examples)  # noqa: E731
    return {name: list(chosen) for name, chosen in itertools.groupby(sorted(rows, key=key), key=key)}


HEAD = (
    "| half | architectures | direction | cases | operations | median error | within 10 % "
    "| cases within 10 % at 9 of 10 | doubted | undoubted off by > 25 % | band holds |\n"
    "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
)


def table(halves: dict[str, list[Row]]) -> str:
    """Both halves side by side: all, with and without a class token, forward and back."""
    lines = [HEAD]
    kinds = (("all", None), ("without class token", False), ("with class token", True))
    for (name, token), way, half in itertools.product(kinds, ("forward", "backward"), halves):
        rows = [r for r in halves[half] if r.direction == way and (token is None or r.class_token == token)]
        if not rows:
            continue
        f = figures(rows)
        cells = [half, name, way, str(f.cases), str(f.operations), f"{f.median:.1%}", f"{f.near:.0%}",
                 f"{f.nine_of_ten:.0%}", f"{f.doubted:.0%}", f"{f.silent:.1%}", f"{f.held:.0%}"]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |\n")
    return "".join(lines)
