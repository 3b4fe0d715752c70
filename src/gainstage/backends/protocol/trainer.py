"""What a framework must offer so that trainings of its models are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gainstage.data import Dataset
from gainstage.records import TrainingCurve
from gainstage.records.training import Schedule

__all__ = ["OnSteps", "Start", "Trainer"]

OnSteps = Callable[[int, Sequence[float]], None]
"""Called after every step with the number of steps made and the loss of every training's last batch."""


@dataclass(frozen=True, slots=True)
class Start:
    """One training to come.

    Args:
        model: of the framework, with the weights it starts from.
        learning_rate: constant.
        seed: of the order of examples, and of the model's own randomness.
        label: for charts.
    """

    model: Any
    learning_rate: float
    seed: int = 0
    label: str = ""


class Trainer(Protocol):
    """What a framework must offer to compare trainings.

    ``gainstage.backends.<framework>.training.trainer`` is a module with these names.
    """

    def build(self, make: Callable[[], Any], seed: int) -> Any:
        """Call the user's function with all random states at ``seed``, and put them back."""
        ...

    def fitted(self, model: Any, dataset: Dataset, loss: Any) -> Dataset:
        """The dataset as the model takes it (as stored, or every example in its natural shape).

        Raises:
            ModelError: the model can take it in neither form.
            InputError: the loss cannot compare output and labels.
        """
        ...

    def batch(self, model: Any, dataset: Dataset, examples: int) -> Any:
        """The first training examples, as the model is called with them."""
        ...

    def fingerprint(self, model: Any) -> str:
        """The same for the same architecture, in every process."""
        ...

    def size(self, model: Any) -> int:
        """How many numbers are trained."""
        ...

    def obstacle(self, starts: Sequence[Start], dataset: Dataset, schedule: Schedule, loss: Any, optimizer: Any) -> str:
        """Why trainings cannot be made together; empty where they can."""
        ...

    def train_together(
        self,
        starts: Sequence[Start],
        dataset: Dataset,
        schedule: Schedule,
        loss: Any,
        optimizer: Any,
        on_steps: OnSteps,
    ) -> list[TrainingCurve]:
        """Train models for which there is no obstacle, all as one."""
        ...

    def train_alone(
        self, start: Start, dataset: Dataset, schedule: Schedule, loss: Any, optimizer: Any, on_steps: OnSteps
    ) -> TrainingCurve:
        """Train one model."""
        ...

    def names(self, loss: Any, optimizer: Any, classes: int) -> tuple[str, str]:
        """Loss and optimizer in words.

        Raises:
            UnknownNameError: there is none of that name.
        """
        ...
