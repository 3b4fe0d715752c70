"""Learn one batch by heart: one loop for both frameworks, bounded in steps and in time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gainstage.records import Attempt, Overfit

__all__ = ["RATES", "Candidate", "OnStep", "overfitted"]

STEPS = 200
SECONDS = 30.0
"""Bound on the time of all attempts together; a step that is under way is finished."""
RATES = (1e-3, 1e-2, 1e-4)
"""Learning rates of Adam where no optimizer was given, or where that one learned nothing."""
_ENOUGH = 0.05
"""Share of the loss above the lowest one at which a training ends early."""

OnStep = Callable[[int, float], None]
"""Called after every step with the number of steps made, over all attempts, and the loss."""


@dataclass(frozen=True)
class Candidate:
    """An optimizer that may be tried.

    Args:
        name: of the optimizer.
        learning_rate: its rate.
        begin: returns a function that makes one step from the weights as they were found, and returns the loss before
            it.
        given: whether the check was given it.
    """

    name: str
    learning_rate: float
    begin: Callable[[], Callable[[], float]]
    given: bool = False


def overfitted(
    candidates: Sequence[Candidate], *, lowest: float, chance: float | None, on_step: OnStep | None = None
) -> Overfit:
    """Try optimizers one after the other until one of them learns the batch.

    Args:
        candidates: in order.
        lowest: the lowest loss that any outputs could have.
        chance: the loss of the best constant guess, where it is known.
        on_step: called after every step.
    """
    began = time.monotonic()
    attempts: list[Attempt] = []
    for candidate in candidates:
        before = sum(len(attempt.losses) for attempt in attempts)
        losses: list[float] = []
        for loss in _losses(candidate, began):
            losses.append(loss)
            if on_step is not None:
                on_step(before + len(losses), loss)
            kept = (*attempts, Attempt(candidate.name, candidate.learning_rate, tuple(losses), candidate.given))
            found = Overfit(kept, lowest, chance)
            if not math.isfinite(loss) or (len(losses) >= 5 and found.left(kept[-1].end) < _ENOUGH):
                break
        attempts.append(Attempt(candidate.name, candidate.learning_rate, tuple(losses), candidate.given))
        if Overfit(tuple(attempts), lowest, chance).outcome == "learned" or _over(began):
            break
    return Overfit(tuple(attempts), lowest, chance, time.monotonic() - began)


def _losses(candidate: Candidate, began: float) -> Iterator[float]:
    step = candidate.begin()
    for done in range(STEPS + 1):
        yield step()
        if done and _over(began):
            return


def _over(began: float) -> bool:
    return time.monotonic() - began > SECONDS
