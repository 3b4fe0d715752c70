"""A small training loop: enough to see whether a start is a good one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from gainstage.backends.torch.batch import first_output
from gainstage.backends.torch.objectives import Loss, loss_function
from gainstage.backends.torch.objectives import optimizer as make_optimizer
from gainstage.backends.torch.preserve import random_state
from gainstage.data import IGNORED, Dataset
from gainstage.errors import InputError
from gainstage.records.training import Evaluation, TrainingCurve

__all__ = ["OnStep", "train"]

OnStep = Callable[[int, float], None]
"""Called after every step with the number of steps made and the loss of the last batch."""

_EVALUATION_BATCH = 1024


def train(
    model: nn.Module,
    dataset: Dataset,
    *,
    steps: int = 400,
    batch: int = 64,
    learning_rate: float = 1e-3,
    optimizer: str = "adam",
    loss: str | None = None,
    clip: float | None = None,
    seed: int = 0,
    evaluations: int = 20,
    label: str = "",
    on_step: OnStep | None = None,
) -> TrainingCurve:
    """Train a model in place, with batches drawn without replacement epoch after epoch.

    The order of examples and the model's own randomness (dropout) follow from ``seed``; random states and the model's
    training mode are put back. A loss that is not finite ends the training.

    Args:
        model: from ``(batch, *example)`` to logits ``(batch, classes)`` or values; ``.logits`` or the first
            tensor of floats is taken where it returns more.
        dataset: to train and validate on.
        steps: number of batches.
        batch: examples in one, at most as many as there are.
        learning_rate: constant.
        optimizer: a key of ``OPTIMIZERS``.
        loss: a key of ``LOSSES``; by default cross-entropy for classes and the mean square for values.
        clip: the largest norm of the whole gradient; longer ones are shortened to it. None leaves them as they are.
        seed: of the order of examples.
        evaluations: looks at the validation examples, evenly over the steps, besides the one before the first step.
        label: for charts.
        on_step: called after every step.

    Raises:
        InputError: a count or ``clip`` is not positive.
        ModelError: the model returns no tensor of floats.
        UnknownNameError: no such optimizer or loss.

    >>> from gainstage.data import gaussian
    >>> curve = train(nn.Linear(2, 3), gaussian(classes=3, features=2, examples=300), steps=5)
    >>> curve.steps, curve.final.step
    (5, 5)
    """
    if min(steps, batch, evaluations) < 1:
        raise InputError(f"Counts must be positive; received steps={steps}, batch={batch}, evaluations={evaluations}.")
    if clip is not None and not clip > 0:
        raise InputError(f"The norm to clip gradients to must be positive; received clip={clip}.")
    criterion = loss_function(loss or ("cross_entropy" if dataset.classes else "mse"))
    stepper = make_optimizer(optimizer, model, learning_rate)
    device = next(model.parameters()).device
    x, y = torch.from_numpy(dataset.x_train).to(device), torch.from_numpy(dataset.y_train).to(device)
    looks = {math.ceil(steps * (i + 1) / evaluations) for i in range(evaluations)}
    losses: list[float] = []
    seen = [_evaluate(model, dataset, criterion, device, 0)]
    was_training = model.training
    with random_state(seed):
        try:
            for step, chosen in enumerate(_batches(len(x), batch, steps, seed), 1):
                model.train()
                value = criterion(first_output(model(x[chosen])), y[chosen])
                losses.append(value.item())
                if not math.isfinite(losses[-1]):
                    break
                stepper.zero_grad(set_to_none=True)
                value.backward()  # type: ignore[no-untyped-call]
                if clip is not None:
                    nn.utils.clip_grad_norm_(model.parameters(), clip)
                stepper.step()
                if step in looks:
                    seen.append(_evaluate(model, dataset, criterion, device, step))
                if on_step is not None:
                    on_step(step, losses[-1])
        finally:
            model.train(was_training)
            stepper.zero_grad(set_to_none=True)
    chance_loss, chance_accuracy = dataset.chance
    return TrainingCurve(
        label, tuple(losses), tuple(seen), chance_loss, chance_accuracy, optimizer, learning_rate, batch, seed
    )


def _batches(examples: int, batch: int, steps: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    batch = min(batch, examples)
    made = 0
    while made < steps:
        order = torch.randperm(examples, generator=generator)
        for start in range(0, examples - batch + 1, batch):
            yield order[start : start + batch]
            made += 1
            if made == steps:
                return


@torch.no_grad()
def _evaluate(model: nn.Module, dataset: Dataset, criterion: Loss, device: torch.device, step: int) -> Evaluation:
    was_training = model.training
    model.eval()
    try:
        x, y = torch.from_numpy(dataset.x_validation), torch.from_numpy(dataset.y_validation)
        total, right, counted = 0.0, 0, 0
        for start in range(0, len(x), _EVALUATION_BATCH):
            part, target = (
                x[start : start + _EVALUATION_BATCH].to(device),
                y[start : start + _EVALUATION_BATCH].to(device),
            )
            output = first_output(model(part))
            total += criterion(output, target).item() * len(part)
            if dataset.classes:
                valid = target != IGNORED
                guess = output.argmax(dim=-1 if output.shape[:-1] == target.shape else 1)
                right += int(((guess == target) & valid).sum())
                counted += int(valid.sum())
    finally:
        model.train(was_training)
    return Evaluation(step, total / len(x) if len(x) else math.nan, right / counted if counted else None)
