"""Places labels beside their lines without overlap, and selects evenly spaced points."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["evenly", "spread_apart"]


def spread_apart(wanted: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Return positions near the wanted ones, at least ``distance`` apart and between ``low`` and ``high``.

    Labels that touch form a group, centred at the mean of its members' wanted positions. Where the range is too small
    for all labels, they are spaced evenly.

    >>> spread_apart([5.0, 5.0, 20.0], 4.0, 0.0, 100.0)
    [3.0, 7.0, 20.0]
    """
    if not wanted:
        return []
    distance = min(distance, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    groups: list[tuple[float, int]] = []  # (first position, members)
    for i in order:
        start, members = min(max(wanted[i], low), high), 1
        while groups and groups[-1][0] + groups[-1][1] * distance > start:
            before, others = groups.pop()
            middles = (before + (others - 1) * distance / 2) * others + (start + (members - 1) * distance / 2) * members
            members += others
            start = middles / members - (members - 1) * distance / 2
            start = min(max(start, low), high - (members - 1) * distance)
        groups.append((start, members))
    places = [start + k * distance for start, members in groups for k in range(members)]
    return [places[order.index(i)] for i in range(len(wanted))]


def evenly(size: int, most: int) -> list[int]:
    """Return at most ``most`` of the indices 0 to ``size - 1``, including the first and the last.

    >>> evenly(9, 3), evenly(2, 5)
    ([0, 4, 8], [0, 1])
    """
    if size <= most:
        return list(range(size))
    return sorted({round(i * (size - 1) / max(most - 1, 1)) for i in range(most)})
