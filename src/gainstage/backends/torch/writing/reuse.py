"""Weights that are used several times in one pass: set by all of their uses.

The first use says little. In a loop, where a weight reads what it made itself, the factor from one use to the next
decides what is left after many: it is brought to one. Where a weight reads other signals each time (frames, time steps,
twins), the second moment over all uses is brought to the level.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping

import torch

from gainstage.backends.shared.calibration import AMPLIFY
from gainstage.backends.torch.tracing.call import Draft
from gainstage.backends.torch.tracing.interpreter import Eye
from gainstage.backends.torch.writing.outputs import level_of
from gainstage.graph.groups import MIXING
from gainstage.records import Assignment

__all__ = ["settle_reused"]

_ROUNDS = 4  # passes at most: what reads a weight is right only once that is
_SETTLED = 0.02  # of a factor


def settle_reused(
    parameters: Mapping[str, torch.Tensor], plan: Mapping[str, Assignment], reused: frozenset[str], examples: int,
    look: Callable[[Eye], None],
) -> dict[str, tuple[float, int]]:  # fmt: skip
    """Rescale weights by all of their uses, in place.

    Args:
        parameters: by path.
        plan: assignments by path, with the level of the output.
        reused: paths of the weights that are used several times.
        examples: in the batch.
        look: runs one pass under an eye.

    Returns:
        for every weight that was measured, the factor on it and the number of its uses.
    """
    total: dict[str, tuple[float, int]] = {}
    for _ in range(_ROUNDS):
        uses = _Uses(parameters, reused, examples)
        look(uses.see)
        moved = 0.0
        for path, levels in uses.levels.items():
            aim = plan[path].level
            factor = _steady(levels) if path in uses.loops else _pooled(levels, aim or 0.0)
            before, _count = total.get(path, (1.0, 0))
            factor = min(max(factor * before, 1 / AMPLIFY), AMPLIFY) / before
            with torch.no_grad():
                parameters[path].mul_(factor)
            total[path] = before * factor, len(levels)
            moved = max(moved, abs(factor - 1))
        if moved < _SETTLED:
            break
    return total


def _pooled(levels: list[float], aim: float) -> float:
    """The factor that brings the mean over all uses to a level."""
    mean = sum(levels) / len(levels)
    return math.sqrt(aim / mean) if aim > 0 and 0 < mean < math.inf else 1.0


def _steady(levels: list[float]) -> float:
    """The factor that makes the later uses follow one another at one level."""
    half = len(levels) // 2 if len(levels) > 2 else 0
    first, last = levels[half], levels[-1]
    if not (0 < first < math.inf and 0 < last < math.inf):
        return 1.0
    return float((last / first) ** (-0.5 / (len(levels) - 1 - half)))


class _Uses:
    """The level of the output at every use of the weights, and which of them read what they made."""

    def __init__(self, parameters: Mapping[str, torch.Tensor], reused: frozenset[str], examples: int) -> None:
        self.parameters, self.reused, self.examples = parameters, reused, examples
        self.levels: dict[str, list[float]] = defaultdict(list)
        self.loops: set[str] = set()
        self._behind: dict[int, frozenset[str]] = {}

    def see(self, draft: Draft, output: torch.Tensor) -> None:
        """Note one operation."""
        behind = frozenset[str]().union(*(self._behind.get(i, frozenset()) for i in draft.inputs))
        own = [u.parameter for u in draft.uses if u.slot == "weight" and u.parameter in self.reused]
        if own and draft.stage == "model" and draft.operation in MIXING:
            self.loops.update(path for path in own if path in behind)
            level = level_of(draft, output, self.parameters, self.examples)
            for path in own:
                self.levels[path].append(level)
        self._behind[draft.index] = behind.union(own)
