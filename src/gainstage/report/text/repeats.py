"""Collapses runs of identical blocks in a list of paths: ``blocks.0–11.mlp.weight``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Run", "runs"]

T = TypeVar("T")

LONGEST_PERIOD = 64  # largest number of arrays in a block that is recognised
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Run(Generic[T]):
    """One row of a table: an item, or one item of every block in a run.

    Args:
        label: its path, with the varying number as a range.
        items: the items of the row, in order.
    """

    label: str
    items: tuple[T, ...]


def runs(items: Sequence[T], path: Callable[[T], str], alike: Callable[[T], Hashable]) -> list[Run[T]]:
    """Collapse consecutive identical blocks.

    A block is a sequence of items. Two blocks are identical when their items are equal under ``alike``, one by one, and
    their paths differ in one number only, which increases from block to block.

    Args:
        items: the items, in order.
        path: a function that returns the path of an item.
        alike: a function that returns what must be equal besides the path.

    >>> names = ["stem.weight", "blocks.0.a", "blocks.0.b", "blocks.1.a", "blocks.1.b", "head.weight"]
    >>> [(run.label, len(run.items)) for run in runs(names, str, lambda name: None)]
    [('stem.weight', 1), ('blocks.0–1.a', 2), ('blocks.0–1.b', 2), ('head.weight', 1)]
    """
    paths = [path(item) for item in items]
    keys = [(_NUMBER.sub("#", p), alike(item)) for p, item in zip(paths, items, strict=True)]
    numbers = [tuple(map(int, _NUMBER.findall(p))) for p in paths]
    collapsed: list[Run[T]] = []
    start = 0
    while start < len(items):
        period, blocks, slot = _longest_run(keys, numbers, start)
        for offset in range(period):
            places = range(start + offset, start + period * blocks, period)
            values = [numbers[place][slot] for place in places] if blocks > 1 else []
            label = _with_range(paths[start + offset], slot, values) if blocks > 1 else paths[start + offset]
            collapsed.append(Run(label, tuple(items[place] for place in places)))
        start += period * blocks
    return collapsed


def _longest_run(keys: Sequence[Hashable], numbers: list[tuple[int, ...]], start: int) -> tuple[int, int, int]:
    """Return (period, number of blocks, varying number) of the run that covers most items from ``start``."""
    best = (1, 1, 0)
    for period in range(1, min(LONGEST_PERIOD, (len(keys) - start) // 2) + 1):
        if keys[start] != keys[start + period]:
            continue
        slot = _varying(numbers[start], numbers[start + period])
        if slot is None:
            continue
        blocks = 1
        while _follows(keys, numbers, start + period * blocks, period, slot):
            blocks += 1
        if blocks > 1 and period * blocks > best[0] * best[1]:
            best = (period, blocks, slot)
    return best


def _follows(keys: Sequence[Hashable], numbers: list[tuple[int, ...]], at: int, period: int, slot: int) -> bool:
    if at + period > len(keys):
        return False
    return all(
        keys[i] == keys[i - period]
        and _varying(numbers[i - period], numbers[i]) == slot
        and numbers[i][slot] > numbers[i - period][slot]
        for i in range(at, at + period)
    )


def _varying(one: tuple[int, ...], other: tuple[int, ...]) -> int | None:
    different = [i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    return different[0] if len(different) == 1 else None


def _with_range(path: str, slot: int, values: list[int]) -> str:
    steps = {b - a for a, b in itertools.pairwise(values)}
    if steps == {1}:
        told = f"{values[0]}–{values[-1]}"
    elif len(values) <= 3:
        told = ",".join(map(str, values))
    else:
        told = f"{values[0]},{values[1]}…{values[-1]}"
    match = list(_NUMBER.finditer(path))[slot]
    return f"{path[: match.start()]}{told}{path[match.end() :]}"
