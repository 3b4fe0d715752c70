"""TrainingCurve: how one training went."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gainstage.errors import InputError

__all__ = ["Evaluation", "FirstStep", "Schedule", "TrainingCurve"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a training may spend, and how closely it is looked at.

    Args:
        steps: number of batches.
        batch: examples in one, at most as many as there are.
        evaluations: looks at the validation examples, evenly over the steps, besides the one before the first step.
        clip: the largest norm of the whole gradient; longer ones are shortened to it. None leaves them as they are.
        watched: of so many first steps the gradient and the update are measured.

    Raises:
        InputError: a count or ``clip`` is not positive.

    >>> Schedule(steps=10, evaluations=4).looks
    (3, 5, 8, 10)
    """

    steps: int = 400
    batch: int = 64
    evaluations: int = 20
    clip: float | None = None
    watched: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.evaluations) < 1 or self.watched < 0:
            raise InputError(
                f"Counts must be positive; received steps={self.steps}, batch={self.batch}, "
                f"evaluations={self.evaluations}, watched={self.watched}."
            )
        if self.clip is not None and not self.clip > 0:
            raise InputError(f"The norm to clip gradients to must be positive; received clip={self.clip}.")

    @property
    def looks(self) -> tuple[int, ...]:
        """After which steps the validation examples are looked at."""
        return tuple(sorted({math.ceil(self.steps * (i + 1) / self.evaluations) for i in range(self.evaluations)}))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One look at a set of examples.

    Args:
        step: how many steps had been made.
        loss: mean over the examples.
        accuracy: share of them whose largest logit is the label's; None for a regression.
    """

    step: int
    loss: float
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class FirstStep:
    """Gradient and update in one of the first steps.

    Args:
        step: counted from 1.
        gradient: norm over all trainable parameters.
        first_gradient: norm of the gradient of the first weight (of two axes or more), in the model's order.
        last_gradient: of the last one.
        update: norm of what the step added to the parameters.
        weight: norm of the parameters before the step.
    """

    step: int
    gradient: float
    first_gradient: float
    last_gradient: float
    update: float
    weight: float

    @property
    def relative_update(self) -> float:
        """Size of the update in sizes of the weights; infinite where weights of zero moved.

        >>> FirstStep(1, 0.5, 0.1, 0.3, update=0.02, weight=4.0).relative_update
        0.005
        """
        if self.weight > 0:
            return self.update / self.weight
        return math.inf if self.update > 0 else 0.0


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """One training.

    Args:
        label: what was trained, in a few words.
        losses: on the batch of each step, before that step; the last one is not finite when training diverged.
        evaluations: on the validation examples, in order; the first one before any step.
        chance_loss: of the best constant guess (entropy of the training labels in nats; variance of the targets).
        chance_accuracy: of the best constant guess (share of the most frequent class); None for a regression.
        optimizer: its name.
        learning_rate: the same for every parameter.
        batch: examples in one step.
        seed: of the order of examples.
        trained: the last look at the training examples; None where none was taken.
        first_steps: gradient and update of the first steps; empty where they were not looked at.

    >>> TrainingCurve("net", (2.3, 0.4), (Evaluation(0, 2.3, 0.1), Evaluation(2, 0.5, 0.9))).final.accuracy
    0.9
    """

    label: str
    losses: tuple[float, ...]
    evaluations: tuple[Evaluation, ...]
    chance_loss: float | None = None
    chance_accuracy: float | None = None
    optimizer: str = ""
    learning_rate: float = math.nan
    batch: int = 0
    seed: int = 0
    trained: Evaluation | None = None
    first_steps: tuple[FirstStep, ...] = ()

    @property
    def steps(self) -> int:
        """How many batches were seen."""
        return len(self.losses)

    @property
    def diverged(self) -> bool:
        """Whether a batch gave a loss that is not a number."""
        return bool(self.losses) and not math.isfinite(self.losses[-1])

    @property
    def final(self) -> Evaluation:
        """The last look at the validation examples."""
        return self.evaluations[-1]
