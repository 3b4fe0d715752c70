"""The outputs of weights that are used several times in one pass, measured at every use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import torch

from gainstage.backends.shared.reuse import Uses, settle_reused
from gainstage.backends.torch.tracing.call import Draft
from gainstage.backends.torch.tracing.interpreter import Eye
from gainstage.backends.torch.writing.outputs import level_of
from gainstage.graph.groups import MIXING
from gainstage.records import Assignment

__all__ = ["settled_by_uses"]


def settled_by_uses(
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

    def seen() -> Uses:
        uses = _Uses(parameters, reused, examples)
        look(uses.see)
        return Uses(uses.levels, frozenset(uses.loops))

    def rescale(path: str, factor: float) -> None:
        with torch.no_grad():
            parameters[path].mul_(factor)

    return settle_reused(plan, seen, rescale)


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
