"""What comparisons need of Keras, under the names of the protocol ``Trainer``; Keras models are trained one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gainstage.backends.keras.models.applications import seed_all
from gainstage.backends.keras.models.preserve import random_state
from gainstage.backends.keras.training.given import optimizer_of
from gainstage.backends.keras.training.objectives import loss_named, word_for
from gainstage.backends.keras.training.train import train
from gainstage.backends.protocol import OnSteps, Start
from gainstage.data import Dataset
from gainstage.errors import GainstageError, InputError, ModelError
from gainstage.records import TrainingCurve
from gainstage.records.training import Schedule

__all__ = ["batch", "build", "fingerprint", "fitted", "names", "obstacle", "size", "train_alone", "train_together"]

_LOOK = 8
"""Examples of the first try."""


def build(make: Callable[[], Any], seed: int) -> Any:
    """Call the user's function with all random states at ``seed``.

    >>> import keras
    >>> one, other = (build(lambda: keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]), 3) for _ in range(2))
    >>> bool((np.asarray(one.weights[0]) == np.asarray(other.weights[0])).all())
    True
    """
    with random_state(seed):
        seed_all(seed)
        return make()


def fitted(model: Any, dataset: Dataset, loss: Any) -> Dataset:
    """The dataset as the model takes it: as stored, or every example in its natural shape.

    Raises:
        ModelError: the model can take it in neither form.
        InputError: output and labels cannot be compared.
    """
    if isinstance(loss, str):
        loss_named(loss)
    forms = [dataset]
    if not dataset.is_tokens and dataset.x_train.shape[1:] != dataset.shape:
        # An image of one channel, as Keras lays it out.
        forms += [dataset.reshape(*shape) for shape in {dataset.shape, (*dataset.shape[1:], *dataset.shape[:1])}]
    failures: list[Exception] = []
    for form in forms:
        try:
            output = np.asarray(model.predict_on_batch(form.x_train[:_LOOK]))
        except Exception as error:
            failures.append(error)
            continue
        outputs = output.shape[-1] if output.ndim > 1 else 1
        if form.classes > max(outputs, 2) or (form.classes > outputs > 1):
            raise InputError(f"Labels go from 0 to {form.classes - 1}, and the model's output has {outputs} classes.")
        return form
    if isinstance(failures[0], GainstageError):
        raise failures[0]
    reason = (str(failures[0]).strip().splitlines() or [type(failures[0]).__name__])[0]
    raise ModelError(f"'{model.name}' cannot run on the data '{dataset.name}': {reason}") from failures[0]


def batch(model: Any, dataset: Dataset, examples: int) -> Any:  # noqa: ARG001
    """The first training examples."""
    return dataset.x_train[:examples]


def fingerprint(model: Any) -> str:
    """Kinds of layers, and the shapes of all weights."""
    layers = " ".join(type(layer).__name__ for layer in getattr(model, "layers", []))
    return " ".join((layers, *("x".join(map(str, weight.shape)) or "1" for weight in model.weights)))


def size(model: Any) -> int:
    """How many numbers are trained."""
    return int(sum(np.prod(weight.shape) for weight in model.trainable_weights))


def obstacle(starts: Sequence[Start], dataset: Dataset, schedule: Schedule, loss: Any, optimizer: Any) -> str:  # noqa: ARG001
    """Why trainings cannot be made together."""
    return "Keras models are not stacked"


def train_together(
    starts: Sequence[Start], dataset: Dataset, schedule: Schedule, loss: Any, optimizer: Any, on_steps: OnSteps
) -> list[TrainingCurve]:
    """One after the other: there is no other way yet."""
    return [train_alone(start, dataset, schedule, loss, optimizer, on_steps) for start in starts]


def train_alone(
    start: Start, dataset: Dataset, schedule: Schedule, loss: Any, optimizer: Any, on_steps: OnSteps
) -> TrainingCurve:
    """Train one model."""
    return train(
        start.model, dataset, steps=schedule.steps, batch=schedule.batch, learning_rate=start.learning_rate,
        optimizer=optimizer, loss=loss, clip=schedule.clip, seed=start.seed, evaluations=schedule.evaluations,
        label=start.label, on_step=lambda step, value: on_steps(step, (value,)),
    )  # fmt: skip


def names(loss: Any, optimizer: Any, classes: int) -> tuple[str, str]:
    """Loss and optimizer in words.

    Raises:
        InputError: one of them is neither a name nor a function.
        UnknownNameError: there is none of that name.

    >>> names(None, "adam", 10)
    ('cross_entropy', 'adam')
    """
    if isinstance(loss, str):
        loss_named(loss)
    elif loss is not None and not callable(loss):
        raise InputError(f"A loss is a name such as 'mse', or a function of (labels, output); received {loss!r:.60}.")
    if isinstance(optimizer, str) or callable(optimizer):
        optimizer_of(None, optimizer, 1e-3)
    else:
        raise InputError(
            f"A comparison makes an optimizer for every training. Pass a name such as 'adam', or a function of a "
            f"learning rate such as keras.optimizers.SGD; received {optimizer!r:.60}."
        )
    return word_for(loss or ("cross_entropy" if classes else "mse")), word_for(optimizer)
