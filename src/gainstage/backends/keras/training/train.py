"""A small training loop: enough to see whether a start is a good one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from gainstage.backends.keras.models.batch import as_array, first_output, values_of
from gainstage.backends.keras.models.preserve import preserved, random_state
from gainstage.backends.keras.tracing.trace import materialise, require_model
from gainstage.backends.keras.training.given import loss_of, optimizer_of
from gainstage.backends.keras.training.objectives import default_loss, loss_named, word_for
from gainstage.data import IGNORED, Dataset
from gainstage.errors import InputError
from gainstage.records.training import Evaluation, TrainingCurve

__all__ = ["OnStep", "train"]

OnStep = Callable[[int, float], None]
"""Called after every step with the number of steps made and the loss of the last batch."""

_EVALUATION_BATCH = 1024
_LOOKED_AT = 4096  # at most so many training examples are looked at after a training; they come shuffled


class _Trainer(keras.Model):  # type: ignore[misc]
    """Around the model, so that what the user compiled it with stays as it is."""

    def __init__(self, model: Any) -> None:
        super().__init__(name="trainer")  # a leading underscore is no name for TensorFlow
        self.model = model

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """What the loss sees of the model's outputs."""
        arguments = {"training": training} if getattr(self.model, "_call_has_training_arg", False) else {}
        return first_output(self.model(inputs, **arguments))


def train(
    model: Any,
    dataset: Dataset,
    *,
    steps: int = 400,
    batch: int = 64,
    learning_rate: float = 1e-3,
    optimizer: str | Callable[[float], Any] = "adam",
    loss: str | Callable[[Any, Any], Any] | None = None,
    clip: float | None = None,
    seed: int = 0,
    evaluations: int = 20,
    label: str = "",
    on_step: OnStep | None = None,
) -> TrainingCurve:
    """Train a model in place, with batches drawn without replacement epoch after epoch, by Keras's own compiled step.

    The order of examples and the model's own randomness (dropout) follow from ``seed``; random states are put back,
    and what the model was compiled with stays. A loss that is not finite ends the training.

    Args:
        model: from ``(batch, *example)`` to probabilities or logits ``(batch, classes)``, or to values; the first
            tensor of floats is taken where it returns more.
        dataset: to train and validate on.
        steps: number of batches.
        batch: examples in one, at most as many as there are.
        learning_rate: constant.
        optimizer: a key of ``OPTIMIZERS``, a name that Keras knows, or a function of a learning rate.
        loss: a key of ``LOSSES``, a name that Keras knows, or a loss of (labels, output). By default cross-entropy for
            classes, of probabilities where the model returns some, and the mean square for values. Penalties on weights
            are added to it.
        clip: the largest norm of the whole gradient; longer ones are shortened to it. None leaves them as they are.
        seed: of the order of examples.
        evaluations: looks at the validation examples, evenly over the steps, besides the one before the first step.
        label: for charts.
        on_step: called after every step.

    Raises:
        InputError: a count or ``clip`` is not positive.
        ModelError: the model's own code raised, or it returns no tensor of floats.
        UnknownNameError: no such optimizer or loss.

    >>> from gainstage.data import gaussian
    >>> net = keras.Sequential([keras.layers.Dense(3, activation="softmax")])
    >>> curve = train(net, gaussian(classes=3, features=2, examples=300), steps=5)
    >>> curve.steps, curve.final.step
    (5, 5)
    """
    if min(steps, batch, evaluations) < 1:
        raise InputError(f"Counts must be positive; received steps={steps}, batch={batch}, evaluations={evaluations}.")
    if clip is not None and not clip > 0:
        raise InputError(f"The norm to clip gradients to must be positive; received clip={clip}.")
    model = require_model(model)
    x, y = dataset.x_train, dataset.y_train
    materialise(model, x[:2])
    if loss is None:
        criterion = default_loss(model, x[:2], dataset.classes)
    else:
        criterion = loss_named(loss) if isinstance(loss, str) else loss_of(loss)
    if (dataset.y_train == IGNORED).any() and isinstance(criterion, keras.losses.SparseCategoricalCrossentropy):
        criterion = keras.losses.SparseCategoricalCrossentropy(criterion.from_logits, ignore_class=IGNORED)
    stepper = optimizer_of(model, optimizer, learning_rate)
    stepper.global_clipnorm = clip
    looks = {math.ceil(steps * (i + 1) / evaluations) for i in range(evaluations)}
    losses: list[float] = []
    with preserved(model), _seeded(model, seed), random_state(seed):
        trainer = _Trainer(model)
        trainer.compile(optimizer=stepper, loss=criterion)
        held_back = dataset.x_validation, dataset.y_validation
        seen = [_evaluate(trainer, *held_back, dataset.classes, criterion, 0)]
        for step, chosen in enumerate(_batches(len(x), batch, steps, seed), 1):
            trainer.reset_metrics()  # the loss that Keras reports is a mean since the last reset
            losses.append(float(trainer.train_on_batch(x[chosen], y[chosen])))
            if not math.isfinite(losses[-1]):
                break
            if step in looks:
                seen.append(_evaluate(trainer, *held_back, dataset.classes, criterion, step))
            if on_step is not None:
                on_step(step, losses[-1])
        trained = None
        if math.isfinite(losses[-1]):
            first = x[:_LOOKED_AT], y[:_LOOKED_AT]
            trained = _evaluate(trainer, *first, dataset.classes, criterion, len(losses))
    chance_loss, chance_accuracy = dataset.chance
    return TrainingCurve(
        label, tuple(losses), tuple(seen), chance_loss, chance_accuracy, word_for(optimizer), learning_rate, batch,
        seed, trained,
    )  # fmt: skip


def _batches(examples: int, batch: int, steps: int, seed: int) -> Iterator[Any]:
    generator = np.random.default_rng(seed)
    batch = min(batch, examples)
    made = 0
    while made < steps:
        order = generator.permutation(examples)
        for start in range(0, examples - batch + 1, batch):
            yield order[start : start + batch]
            made += 1
            if made == steps:
                return


@contextmanager
def _seeded(model: Any, seed: int) -> Iterator[None]:
    """Start the random states in a model (of dropout and the like) from a seed, and put them back."""
    states = [v for v in model.variables if v.name == "seed_generator_state"]
    before = [values_of(v) for v in states]
    try:
        for position, state in enumerate(states):
            state.assign(np.array([seed % 2**31, position], before[position].dtype))
        yield
    finally:
        for state, values in zip(states, before, strict=True):
            state.assign(values)


def _evaluate(trainer: _Trainer, x: Any, y: Any, classes: int, criterion: Any, step: int) -> Evaluation:
    total, right, counted = 0.0, 0, 0
    for start in range(0, len(x), _EVALUATION_BATCH):
        part, target = x[start : start + _EVALUATION_BATCH], y[start : start + _EVALUATION_BATCH]
        output = np.asarray(trainer.predict_on_batch(part))
        value = criterion(ops.convert_to_tensor(target), ops.convert_to_tensor(output))
        total += float(as_array(value).mean()) * len(part)
        if classes:
            valid = target != IGNORED
            alone = output.shape[-1] == 1 and output.ndim == target.ndim + 1
            guess = _positive(output[..., 0], criterion) if alone else output.argmax(-1)
            right += int(((guess == target) & valid).sum())
            counted += int(valid.sum())
    return Evaluation(step, total / len(x) if len(x) else math.nan, right / counted if counted else None)


def _positive(output: Any, criterion: Any) -> Any:
    """The class that one unit an example says: from a logit, or from a probability."""
    return output > (0.0 if getattr(criterion, "from_logits", False) else 0.5)
