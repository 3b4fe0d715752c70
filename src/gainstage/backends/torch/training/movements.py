"""The change that some steps of training make to the output of every weighted operation, on one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gainstage.backends.torch.models.batch import Batch, copied
from gainstage.backends.torch.models.random_states import random_state
from gainstage.backends.torch.tracing.call import Draft
from gainstage.backends.torch.tracing.fitting import fitting_batch
from gainstage.backends.torch.tracing.traced_run import LossFunction, observe
from gainstage.backends.torch.training.objectives import OPTIMIZERS
from gainstage.backends.torch.writing.parameter_groups import parameter_groups
from gainstage.errors import InputError, UnknownNameError

__all__ = ["movements"]


def movements(
    model: nn.Module,
    inputs: Any,
    target: Any,
    *,
    loss: LossFunction | None,
    optimizer: str,
    settings: Mapping[str, Mapping[str, Any]],
    learning_rate: float,
    steps: int,
    seed: int = 0,
) -> dict[str, float]:
    """Train a model on one batch and return how far each layer's output moved.

    Args:
        model: trained in place.
        inputs, target, loss: the batch, its labels and the loss; None where the model returns its own.
        optimizer: a name.
        settings: of the optimizer's groups, by the path of a parameter.
        learning_rate: of a parameter without settings.
        steps: of training.
        seed: of the random state in every pass.

    Returns:
        the root mean square of the change of the output, by the path of the weight; infinite where it is not finite.

    Raises:
        UnknownNameError: there is no optimizer of that name.
        InputError: there is no loss.
    """
    if optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    batch = fitting_batch(inputs, model, target)
    groups: Any = parameter_groups(model, settings, learning_rate)  # groups are taken in place of parameters
    stepper = OPTIMIZERS[optimizer](groups, learning_rate)
    before: dict[str, torch.Tensor] = {}
    for _ in range(steps):
        outputs, value = _passed(model, batch, target, loss, seed)
        before = before or outputs
        if value is None:
            raise InputError("Steps of training need a loss: pass y and loss, or a model that returns its own loss.")
        stepper.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        stepper.step()
    with torch.no_grad():
        after, _ = _passed(model, batch, target, loss, seed)
    return {path: _size(after[path] - start) for path, start in before.items() if path in after}


def _passed(
    model: nn.Module, batch: Batch, target: Any, loss: LossFunction | None, seed: int
) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
    """Run the model; return the first output of every weight by its path, and the loss."""
    outputs: dict[str, torch.Tensor] = {}

    def look(draft: Draft, output: torch.Tensor) -> None:
        for use in draft.uses if draft.operation.weighted and draft.stage == "model" else ():
            if use.slot == "weight" and use.parameter not in outputs:
                outputs[use.parameter] = output.detach().clone()

    with random_state(seed):
        seen = observe(model, batch.copied(), target=copied(target), loss=loss, eye=look)
    return outputs, seen.loss


def _size(change: torch.Tensor) -> float:
    found = float(change.float().square().mean().sqrt())
    return found if found == found else float("inf")
