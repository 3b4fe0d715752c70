"""Weights that are used several times in one pass: set by all of their uses.

The first use says little. In a loop, where a weight reads what it made itself, the factor from one use to the next
decides what is left after many: it is brought to one. Where a weight reads other signals each time (frames, time steps,
twins), the second moment over all uses is brought to the level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gainstage.backends.shared.calibration import AMPLIFY
from gainstage.records import Assignment

__all__ = ["Uses", "settle_reused"]

_ROUNDS = 4  # passes at most: what reads a weight is right only once that is
_SETTLED = 0.02  # of a factor


@dataclass(frozen=True, slots=True)
class Uses:
    """The uses of some weights in one pass.

    Args:
        levels: the second moment of the output at every use, in the order of flow, by path of the weight.
        loops: paths of the weights that read what they made.
    """

    levels: Mapping[str, Sequence[float]]
    loops: frozenset[str]


def settle_reused(
    plan: Mapping[str, Assignment], look: Callable[[], Uses], rescale: Callable[[str, float], object]
) -> dict[str, tuple[float, int]]:
    """Rescale weights by all of their uses, in place.

    Args:
        plan: assignments by path, with the level of the output.
        look: runs one pass and measures.
        rescale: multiplies a weight.

    Returns:
        for every weight that was measured, the factor on it and the number of its uses.
    """
    total: dict[str, tuple[float, int]] = {}
    for _ in range(_ROUNDS):
        uses, moved = look(), 0.0
        for path, levels in uses.levels.items():
            factor = _steady(levels) if path in uses.loops else _pooled(levels, plan[path].level or 0.0)
            before, _count = total.get(path, (1.0, 0))
            factor = min(max(factor * before, 1 / AMPLIFY), AMPLIFY) / before
            rescale(path, factor)
            total[path] = before * factor, len(levels)
            moved = max(moved, abs(factor - 1))
        if moved < _SETTLED:
            break
    return total


def _pooled(levels: Sequence[float], aim: float) -> float:
    """The factor that brings the mean over all uses to a level."""
    mean = sum(levels) / len(levels)
    return math.sqrt(aim / mean) if aim > 0 and 0 < mean < math.inf else 1.0


def _steady(levels: Sequence[float]) -> float:
    """The factor that makes the later uses follow one another at one level."""
    half = len(levels) // 2 if len(levels) > 2 else 0
    first, last = levels[half], levels[-1]
    if not (0 < first < math.inf and 0 < last < math.inf):
        return 1.0
    return float((last / first) ** (-0.5 / (len(levels) - 1 - half)))
