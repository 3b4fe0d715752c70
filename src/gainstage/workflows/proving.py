"""Short trainings that show whether one start of a model trains better than another."""

from __future__ import annotations

import copy
from typing import Any

from gainstage.backends import framework_of, trainer_of
from gainstage.backends.protocol import Start
from gainstage.errors import InputError
from gainstage.records import TrainingCurve
from gainstage.records.training import Schedule
from gainstage.workflows.supplying import dataset_of
from gainstage.workflows.task import Loss, Optimizer

__all__ = ["Prover"]

STEPS, BATCH = 100, 32
RATE, OPTIMIZER = 1e-3, "adam"


class Prover:
    """Trains copies of a model for a bounded number of steps on the data given.

    Args:
        x, y: the data; a fifth is held back.
        loss, optimizer, learning_rate: as in a check. An optimizer that is an object holds the parameters of another
            model, so that Adam stands in for it.
        seed: of the order of examples.

    Raises:
        InputError: there are no labels, or the data cannot be trained on.
    """

    def __init__(
        self, x: Any, y: Any, *, loss: Loss, optimizer: Optimizer, learning_rate: float | None, seed: int
    ) -> None:
        if y is None:
            raise InputError("A proof trains, and a training needs labels. Pass y.")
        self._loss, self._seed = loss, seed
        self._data = dataset_of((x, y), loss=loss, seed=seed)
        self._optimizer = optimizer if isinstance(optimizer, str) or callable(optimizer) else OPTIMIZER
        self._rate = RATE if learning_rate is None else learning_rate

    def train(self, model: Any, label: str) -> TrainingCurve:
        """Train a copy; the model itself stays as it is."""
        framework = framework_of(model)
        if framework is None:
            raise InputError(f"Expected a model of a supported framework, received {type(model).__name__}.")
        trainer = trainer_of(framework)
        twin = copy.deepcopy(model)
        data = trainer.fitted(twin, self._data, self._loss)
        schedule = Schedule(STEPS, min(BATCH, len(data.x_train)), 2)
        start = Start(twin, self._rate, self._seed, label)
        return trainer.train_alone(start, data, schedule, self._loss, self._optimizer, _unwatched)


def _unwatched(_step: int, _losses: Any) -> None:
    """Nobody is watching."""
