"""Overfit records a short training on one batch: whether the model can learn it by heart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Literal

__all__ = ["Attempt", "Overfit"]

LEARNED, STUCK = 0.1, 0.9
"""Shares of the loss above the lowest one that are left: below the first the batch is learned, above the second not."""
_LAST = 5  # steps whose median loss is the end of a training
_FEWEST = 20  # steps after which a training that was stopped in time may be judged


@dataclass(frozen=True, slots=True)
class Attempt:
    """One training on the batch.

    Args:
        optimizer: its name.
        learning_rate: the learning rate; NaN where an optimizer has several.
        losses: the loss before every step; the last one is not finite where the training diverged.
        given: whether it is the optimizer that the check was given.
    """

    optimizer: str
    learning_rate: float
    losses: tuple[float, ...]
    given: bool = False

    @property
    def steps(self) -> int:
        """Return the number of steps."""
        return max(len(self.losses) - 1, 0)

    @property
    def diverged(self) -> bool:
        """Report whether the loss stopped being a finite number."""
        return bool(self.losses) and not math.isfinite(self.losses[-1])

    @property
    def end(self) -> float:
        """Return the median loss of the last five steps; infinite where the training diverged."""
        return math.inf if self.diverged else median(self.losses[-_LAST:])


@dataclass(frozen=True, slots=True)
class Overfit:
    """Short trainings on one batch, from the weights as they are; the model was put back afterwards.

    Args:
        attempts: the trainings, in order; the last one decides.
        lowest: the lowest loss that any outputs could have on these targets.
        chance: the loss of the best constant guess on these targets, where it is known.
        seconds: time that all of it took.

    >>> falls = Attempt("Adam", 1e-3, tuple(2.3 * 0.9**i for i in range(60)))
    >>> Overfit((falls,), 0.0).outcome, Overfit((Attempt("Adam", 1e-3, (2.3,) * 60),), 0.0).outcome
    ('learned', 'stuck')
    """

    attempts: tuple[Attempt, ...]
    lowest: float = 0.0
    chance: float | None = None
    seconds: float = 0.0

    @property
    def start(self) -> float:
        """Return the loss before the first step."""
        return self.attempts[0].losses[0]

    def left(self, loss: float) -> float:
        """Return the part of the loss that is left to learn.

        It is the distance of ``loss`` from the lowest loss, over the distance of the start; or of a constant guess
        where that is less, since falling to a guess is not learning.
        """
        reference = self.start if self.chance is None else min(self.start, self.chance)
        room = reference - self.lowest
        if not room > 1e-6 * max(abs(reference), 1e-12):
            return 0.0
        return (loss - self.lowest) / room if math.isfinite(loss) else math.inf

    @property
    def outcome(self) -> Literal["learned", "partly", "stuck", "short"]:
        """Return how the best attempt ended; ``short`` where time ran out before it could be judged."""
        best = min(self.left(attempt.end) for attempt in self.attempts)
        if best < LEARNED:
            return "learned"
        if best <= STUCK:
            return "partly"
        tried = any(attempt.diverged or attempt.steps >= _FEWEST for attempt in self.attempts)
        return "stuck" if tried else "short"

    @property
    def best(self) -> Attempt:
        """Return the attempt that came lowest."""
        return min(self.attempts, key=lambda attempt: attempt.end)

    @property
    def given_fails(self) -> bool:
        """Report whether the optimizer that was given learned nothing where another one learned the batch."""
        first = self.attempts[0]
        judged = first.diverged or first.steps >= _FEWEST
        return first.given and judged and self.left(first.end) > STUCK and self.outcome == "learned"
