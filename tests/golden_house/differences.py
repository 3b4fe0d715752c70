"""What differs between two sets of figures, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

__all__ = ["differences"]

EXACT, MEASURED, NOTHING = 1e-9, 1e-5, 1e-12
COLUMNS = (
    ("predicted forward", EXACT), ("predicted backward", EXACT),
    ("predicted forward under auto", EXACT), ("predicted backward under auto", EXACT),
    ("measured forward", MEASURED), ("measured backward", MEASURED),
)  # fmt: skip
"""What the numbers of a node are, and how far they may be apart, relative to the larger one."""
TARGETS = ("scheme", "rule of the bias", "gain", "spread", "level", "value")


def differences(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """One line for everything that differs in one model."""
    for part in dict.fromkeys([*then, *now]):
        old, new = then.get(part), now.get(part)
        if isinstance(old, str) or isinstance(new, str) or old is None or new is None:
            if old != new:
                yield f"{part}: {_short(old)} -> {_short(new)}"
        elif part == "findings":
            yield from (f"{part}: {line}" for line in _aligned(old, new))
        elif part == "levels":
            yield from _levels(old, new)
        else:
            yield from (f"{part}: {line}" for line in _entries(part, old, new))


def _entries(part: str, then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Parameter by parameter; their order counts as well."""
    for path in dict.fromkeys([*then, *now]):
        if path not in now:
            yield f"{path} is gone"
        elif path not in then:
            yield f"{path} is new: {_short(now[path])}"
        elif part.startswith("plan"):
            for what, old, new in zip_longest(TARGETS, then[path], now[path]):
                if not _equal(old, new, EXACT, 0.0):
                    yield f"{path}: {what} {old} -> {new}"
        elif part.startswith("drawn"):
            yield from _drawn(path, then[path], now[path])
        elif then[path] != now[path]:
            yield f"{path}: {then[path]} -> {now[path]}"
    if list(then) != list(now) and set(then) == set(now):
        yield "the order of parameters is another one"


def _drawn(path: str, then: list[Any], now: list[Any]) -> Iterator[str]:
    (size, values), (new_size, new_values) = then, now
    if not _equal(size, new_size, MEASURED, NOTHING):
        yield f"{path}: root mean square {size} -> {new_size}"
    elif isinstance(values, str) or isinstance(new_values, str):
        if values != new_values:
            yield f"{path}: other bytes (root mean square {new_size}, as before)"
    elif not all(_equal(a, b, MEASURED, MEASURED * size) for a, b in zip(values, new_values, strict=True)):
        yield f"{path}: first values {values} -> {new_values}"


def _levels(then: list[list[Any]], now: list[list[Any]]) -> Iterator[str]:
    """Node by node, as far as nodes have kept their labels."""
    labels = [[row[0] for row in rows] for rows in (then, now)]
    for kind, a, b, c, d in SequenceMatcher(None, *labels, autojunk=False).get_opcodes():
        if kind != "equal":
            yield from (f"node {index} ({then[index][0]}) is gone" for index in range(a, b))
            yield from (f"node {index} ({now[index][0]}) is new" for index in range(c, d))
            continue
        for old, new in zip(then[a:b], now[c:d], strict=True):
            for (what, relative), before, after in zip(COLUMNS, old[1:], new[1:], strict=True):
                if not _equal(before, after, relative, NOTHING if relative is MEASURED else 0.0):
                    yield f"{old[0]}: {what} {before} -> {after}{_apart(before, after)}"


def _aligned(then: list[str], now: list[str]) -> Iterator[str]:
    for kind, a, b, c, d in SequenceMatcher(None, then, now, autojunk=False).get_opcodes():
        if kind != "equal":
            yield from (f"{line.strip()} is gone" for line in then[a:b])
            yield from (f"{line.strip()} is new" for line in now[c:d])


def _equal(a: Any, b: Any, relative: float, absolute: float) -> bool:
    if isinstance(a, float | int) and isinstance(b, float | int):
        return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=relative, abs_tol=absolute)
    return bool(a == b)


def _apart(a: Any, b: Any) -> str:
    known = isinstance(a, float | int) and isinstance(b, float | int) and math.isfinite(a) and math.isfinite(b) and a
    return f" ({b / a - 1:+.1e})" if known else ""


def _short(value: Any) -> str:
    return value if isinstance(value, str) else "nothing" if value is None else f"{len(value)} entries"
