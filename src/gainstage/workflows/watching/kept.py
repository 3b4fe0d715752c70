"""The state of a watch in a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from gainstage.records import History, NonFinite
from gainstage.rules.training import RuleState

__all__ = ["Kept"]


@dataclass(frozen=True)
class Kept:
    """The state of a recorder in a checkpoint, as a record that has a JSON form and that runs no code when it is read.

    Args:
        history: everything that was seen.
        rules: the memory of every rule.
        rows: norms of gradients, weights and updates of the last steps, (steps, 3, parameters).
        weights_at_start: norms of the parameters before the first step.
        looked: whether a look waits for the next judgement.
        nonfinite: the origin of a value that is not finite, where there was one.
    """

    history: History
    rules: tuple[RuleState, ...] = ()
    rows: tuple[tuple[tuple[float, ...], ...], ...] = ()
    weights_at_start: tuple[float, ...] = ()
    looked: bool = False
    nonfinite: NonFinite | None = None
