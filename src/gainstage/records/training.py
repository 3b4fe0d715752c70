"""TrainingCurve records the course of one training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gainstage.errors import InputError

__all__ = ["Evaluation", "FirstStep", "Schedule", "TrainingCurve"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The length of a training, and how often it is evaluated.

    Args:
        steps: number of batches.
        batch: number of examples in a batch, at most as many as there are.
        evaluations: number of evaluations on the validation examples, evenly over the steps, besides the one before the
            first step.
        clip: the largest norm of the whole gradient; longer gradients are shortened to it. None does not clip.
        watched: number of first steps whose gradient and update are measured.

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
        """Return the numbers of steps after which the validation examples are evaluated."""
        return tuple(sorted({math.ceil(self.steps * (i + 1) / self.evaluations) for i in range(self.evaluations)}))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Loss and accuracy on a set of examples at one step.

    Args:
        step: number of steps made before.
        loss: mean loss over the examples.
        accuracy: share of examples whose largest logit is the label's; None for a regression.
    """

    step: int
    loss: float
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class FirstStep:
    """Gradient and update in one of the first steps.

    Args:
        step: number of the step, counted from 1.
        gradient: norm of the gradient over all trainable parameters.
        first_gradient: norm of the gradient of the first weight (of two axes or more), in the model's order.
        last_gradient: norm of the gradient of the last weight.
        update: norm of the change of the parameters by the step.
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
        """Return the norm of the update over that of the weights; infinite where weights of zero changed.

        >>> FirstStep(1, 0.5, 0.1, 0.3, update=0.02, weight=4.0).relative_update
        0.005
        """
        if self.weight > 0:
            return self.update / self.weight
        return math.inf if self.update > 0 else 0.0


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """The losses and evaluations of one training.

    Args:
        label: short description of the training.
        losses: loss on the batch of each step, before that step; the last one is not finite when the training diverged.
        evaluations: evaluations on the validation examples, in order; the first one before any step.
        chance_loss: loss of the best constant guess (entropy of the training labels in nats; variance of the targets).
        chance_accuracy: accuracy of the best constant guess (share of the most frequent class); None for a regression.
        optimizer: name of the optimizer.
        learning_rate: the learning rate of every parameter.
        batch: number of examples in one step.
        seed: seed of the order of examples.
        trained: the last evaluation on the training examples; None where there was none.
        first_steps: gradient and update of the first steps; empty where they were not measured.

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
        """Return the number of batches that were used."""
        return len(self.losses)

    @property
    def diverged(self) -> bool:
        """Report whether the loss of a batch was not finite."""
        return bool(self.losses) and not math.isfinite(self.losses[-1])

    @property
    def final(self) -> Evaluation:
        """Return the last evaluation on the validation examples."""
        return self.evaluations[-1]
