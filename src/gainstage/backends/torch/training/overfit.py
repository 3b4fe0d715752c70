"""Train on one batch for a while, and leave the model as it was found."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gainstage.backends.shared.overfitting import RATES, Candidate, OnStep, overfitted
from gainstage.backends.torch.measuring.first_step import scratch_optimizer
from gainstage.backends.torch.models.batch import Batch, copied, first_output, labels_for, own_loss
from gainstage.backends.torch.models.preserve import HeldModel, hold_model
from gainstage.backends.torch.tracing.checkpoints import transparent_checkpoints
from gainstage.backends.torch.tracing.fitting import fitting_batch
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.backends.torch.tracing.traced_run import LossFunction, takes_whole
from gainstage.errors import InputError
from gainstage.records import Overfit, Task

__all__ = ["overfit"]


def overfit(
    model: nn.Module,
    inputs: Any,
    target: Any = None,
    *,
    loss: LossFunction | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    task: Task,
    seed: int = 0,
    on_step: OnStep | None = None,
) -> Overfit | None:
    """Train on one batch, at most 200 steps with each of four optimizers and half a minute in all.

    The optimizer that was given is tried first, on a copy of its state; then Adam at three rates until one learns the
    batch. Weights, buffers, modes, gradients and random states are afterwards, bit for bit, what they were before.

    Args:
        model: in the mode in which it is to be trained.
        inputs: the batch.
        target: labels, handed to ``loss``.
        loss: called as ``loss(output, target)``; a model that returns its own loss needs none.
        optimizer: over the model's parameters.
        task: what a measurement knows of the loss.
        seed: of the random state at the beginning of every attempt.
        on_step: called after every step.

    Returns:
        the trainings; None where no parameter is trainable.

    Raises:
        InputError: there is neither a loss nor a model that returns one.
    """
    model = unwrap(model)
    target = labels_for(model, target)
    if task.loss is None or task.loss.kind == "surrogate":
        raise InputError("Learning a batch needs a loss. Pass y and loss=, e.g. loss='cross_entropy'.")
    weights = [p for p in model.parameters() if p.requires_grad]
    if not weights:
        return None
    batch = fitting_batch(inputs, model, target)
    others = [] if optimizer is None else [group["params"] for group in optimizer.param_groups]
    held = hold_model(model, batch.loose, target, loss, others)
    given = () if optimizer is None else (lambda: scratch_optimizer(optimizer),)
    shape = task.loss_shape
    lowest = shape.lowest if shape is not None and not shape.unbounded and math.isfinite(shape.lowest) else 0.0

    def candidate(make: Callable[[], torch.optim.Optimizer], *, own: bool) -> Candidate:
        stepper = make()
        rates = {float(group["lr"]) for group in stepper.param_groups if "lr" in group}
        name = type(optimizer if own else stepper).__name__
        rate = rates.pop() if len(rates) == 1 else math.nan
        return Candidate(name, rate, lambda: _stepper(model, held, batch, target, loss, make), own)

    def adam(rate: float) -> Callable[[], torch.optim.Optimizer]:
        return lambda: torch.optim.Adam(weights, lr=rate)

    with held.during(seed), torch.enable_grad(), transparent_checkpoints():
        return overfitted(
            [*(candidate(make, own=True) for make in given), *(candidate(adam(rate), own=False) for rate in RATES)],
            lowest=min(lowest, task.loss.value), chance=task.loss.chance, on_step=on_step,
        )  # fmt: skip


def _stepper(
    model: nn.Module,
    held: HeldModel,
    batch: Batch,
    target: Any,
    loss: LossFunction | None,
    make: Callable[[], torch.optim.Optimizer],
) -> Callable[[], float]:
    """Put the model back, and return a function that makes one step from there."""
    held.restore()
    optimizer = make()

    def step() -> float:
        output = batch.copied().call(model)
        value = own_loss(output) if loss is None else loss(
            output if takes_whole(output) else first_output(output), copied(target)
        )  # fmt: skip
        if value is None or not value.requires_grad:
            return math.nan if value is None else float(value)
        found = float(value.detach())
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        type(optimizer).step(optimizer)
        return found

    return step
