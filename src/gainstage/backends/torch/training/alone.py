"""One training."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gainstage.backends.protocol import Start
from gainstage.backends.torch.models.batch import first_output
from gainstage.backends.torch.models.random_states import random_state
from gainstage.backends.torch.training.criterion import Criterion
from gainstage.backends.torch.training.examples import LOOKED_AT, Examples, look, order
from gainstage.backends.torch.training.optimizers import Factory, make, optimizer_name
from gainstage.backends.torch.training.watch import Watch
from gainstage.records.training import Evaluation, Schedule, TrainingCurve

__all__ = ["train_alone"]

_LOOK = 1024
"""Examples in one part of a look."""


def train_alone(
    start: Start,
    examples: Examples,
    schedule: Schedule,
    *,
    criterion: Criterion,
    optimizer: str | Factory = "adam",
    on_step: Callable[[int, float], None] | None = None,
) -> TrainingCurve:
    """Train one model in place; its mode and all random states are put back.

    Args:
        start: the model, its learning rate and seed.
        examples: on the model's device.
        schedule: what the training may spend.
        criterion: the loss.
        optimizer: a key of ``OPTIMIZERS``, or a factory of (parameters, learning rate).
        on_step: called after every step with the number of steps made and the loss of the last batch.

    Raises:
        InputError, UnknownNameError: loss, optimizer, labels or rate cannot be used.
        ModelError: the model returns no tensor of floats.
    """
    model = start.model
    parameters = {path: p for path, p in model.named_parameters() if p.requires_grad}
    stepper = make(optimizer, list(parameters.values()), start.learning_rate)
    watch = Watch(parameters)
    losses: list[float] = []
    seen = [_evaluate(model, examples, criterion, 0)]
    was_training = model.training
    with random_state(start.seed):
        try:
            batches = order(len(examples.x), schedule.batch, schedule.steps, start.seed)
            for step, chosen in enumerate(batches, 1):
                model.train()
                value = criterion.loss(first_output(model(examples.x[chosen])), examples.y[chosen])
                losses.append(value.item())
                if not math.isfinite(losses[-1]):
                    break
                stepper.zero_grad(set_to_none=True)
                value.backward()  # type: ignore[no-untyped-call]
                if schedule.clip is not None:
                    nn.utils.clip_grad_norm_(parameters.values(), schedule.clip)
                if step <= schedule.watched:
                    norms = watch.before({path: _gradient(p) for path, p in parameters.items()})
                stepper.step()
                if step <= schedule.watched:
                    watch.after(step, norms)
                if step in schedule.looks:
                    seen.append(_evaluate(model, examples, criterion, step))
                if on_step is not None:
                    on_step(step, losses[-1])
        finally:
            model.train(was_training)
            stepper.zero_grad(set_to_none=True)
    trained = None
    if math.isfinite(losses[-1]):
        trained = _evaluate(model, examples, criterion, len(losses), training=True)
    return TrainingCurve(
        start.label, tuple(losses), tuple(seen), examples.chance_loss, examples.chance_accuracy,
        optimizer_name(optimizer), start.learning_rate, schedule.batch, start.seed, trained, watch.steps(),
    )  # fmt: skip


def _gradient(parameter: nn.Parameter) -> Tensor:
    """Zero where the loss does not reach."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@torch.no_grad()
def _evaluate(
    model: nn.Module, examples: Examples, criterion: Criterion, step: int, *, training: bool = False
) -> Evaluation:
    """A look at the validation examples, or at the first training examples."""

    def judge(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor | None]:
        output = first_output(model(x))
        return criterion.loss(output, y), criterion.right(output, y)

    x, y = (
        (examples.x[:LOOKED_AT], examples.y[:LOOKED_AT]) if training else (examples.x_validation, examples.y_validation)
    )
    was_training = model.training
    model.eval()
    try:
        loss, accuracy = look(judge, x, y, batch=_LOOK)
    finally:
        model.train(was_training)
    return Evaluation(step, loss.item(), None if accuracy is None else accuracy.item())
