"""The loss as a function of the outputs alone, on PyTorch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gainstage.backends.shared.loss_probe import EXAMPLES, Array, joint_shape, loss_shape, told_apart
from gainstage.backends.torch.models.random_states import random_state, seed_torch
from gainstage.backends.torch.tracing.traced_run import LossFunction
from gainstage.records import LossShape, OutputFacts

__all__ = ["joint_shape_of", "shape_of"]


def shape_of(
    loss: LossFunction, output: torch.Tensor, target: Any, facts: OutputFacts | None, seed: int
) -> LossShape | None:
    """Move outputs to where the loss is lowest, without running the model.

    Args:
        loss: called as ``loss(output, target)``.
        output: (examples, ..., units), what the model returned.
        target: the labels; only one tensor can be compared with outputs.
        facts: of the output, for its last function.
        seed: random state of every call of the loss.

    Returns:
        the description; None where the loss takes more than one tensor of labels or refuses other outputs.
    """
    if not isinstance(target, torch.Tensor) or facts is None or not output.is_floating_point() or output.dim() < 1:
        return None
    for few in (EXAMPLES, None):
        outputs, labels = _few(output.detach(), target.detach(), few)
        try:
            with random_state(seed):
                return _probed(loss, outputs, labels, facts.function, seed)
        except _RefusedError:
            continue
    return None


def _probed(
    loss: LossFunction, outputs: torch.Tensor, labels: torch.Tensor, function: str, seed: int
) -> LossShape | None:
    evaluation = _Evaluation(loss, outputs, labels, seed)
    found = loss_shape(evaluation, _last(outputs), _array(labels), function)
    if found is None or labels.dim() == 0 or bool((labels == labels[:1]).all()):
        return found
    apart = told_apart(_last(outputs), function)
    exchanged, _ = _Evaluation(loss, outputs, labels.roll(1, 0), seed)(apart)
    same, _ = evaluation(apart)
    return replace(found, reads_target=exchanged != same)


class _RefusedError(Exception):
    """The user's loss raised, for so few examples or for other outputs than the model's."""


def _few(output: torch.Tensor, target: torch.Tensor, examples: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Examples that lie evenly in the batch: neighbours may have nearly the same target."""
    if examples is None or target.dim() == 0 or len(target) != len(output) or len(output) <= examples:
        return output, target
    chosen = torch.linspace(0, len(output) - 1, examples, device=output.device).round().long()
    return output[chosen], target[chosen]


def _last(output: torch.Tensor) -> Array:
    """Outputs with the axis of classes, the second where there are more than two, at the end."""
    values: Array = (output.movedim(1, -1) if output.dim() > 2 else output).cpu().double().numpy()
    return values


def _array(target: torch.Tensor) -> Array:
    moved = target.movedim(1, -1) if target.is_floating_point() and target.dim() > 2 else target
    values: Array = moved.cpu().double().numpy() if target.is_floating_point() else moved.cpu().numpy()
    return values


class _Evaluation:
    """The loss and its gradient at given outputs, under one random state."""

    def __init__(self, loss: LossFunction, like: torch.Tensor, target: torch.Tensor, seed: int) -> None:
        self.loss, self.like, self.target, self.seed = loss, like, target, seed

    def __call__(self, outputs: Array) -> tuple[float, Array]:
        tensor = torch.from_numpy(outputs)
        tensor = tensor.movedim(-1, 1) if tensor.dim() > 2 else tensor
        free = tensor.to(self.like).contiguous().requires_grad_()
        try:
            seed_torch(self.seed)
            with torch.enable_grad():
                value = self.loss(free, self.target)
                found: tuple[torch.Tensor | None, ...] = torch.autograd.grad(value.reshape(()), free, allow_unused=True)
        except Exception as error:
            raise _RefusedError from error
        gradient = found[0]
        return float(value.detach()), np.zeros_like(outputs) if gradient is None else _last(gradient.detach())


def joint_shape_of(loss: LossFunction, outputs: Any, target: Any, examples: int, seed: int) -> LossShape | None:
    """Describe a loss that takes several outputs at once, without running the model.

    Args:
        loss: called as ``loss(outputs, target)``.
        outputs: a tuple, list or dict of what the model returned; tensors without one row an example stay as they are.
        target: the labels.
        examples: of the batch.
        seed: random state of every call of the loss.

    Returns:
        the description; None where no output can be moved, or the loss refuses other outputs.
    """
    labels = target.detach() if isinstance(target, torch.Tensor) else None
    evaluation = _JointEvaluation(loss, outputs, target, examples, seed)
    if not evaluation.parts:
        return None
    rows = np.concatenate([part.detach().reshape(examples, -1).cpu().double().numpy() for part in evaluation.parts], 1)
    one_each = labels is not None and labels.dim() > 0 and labels.numel() == len(labels) == examples
    values = labels.reshape(-1).cpu().double().numpy() if one_each and labels is not None else None
    try:
        with random_state(seed):
            return joint_shape(evaluation, rows, evaluation.columns, values)
    except _RefusedError:
        return None


class _JointEvaluation:
    """The loss of several outputs, and its gradient, at rows that hold the outputs side by side."""

    def __init__(self, loss: LossFunction, outputs: Any, target: Any, examples: int, seed: int) -> None:
        self.loss, self.outputs, self.target, self.seed = loss, outputs, target, seed
        self.parts: list[torch.Tensor] = []
        self._gather(outputs, examples)
        self.columns = [part.numel() // examples for part in self.parts]

    def _gather(self, value: Any, examples: int) -> None:
        if isinstance(value, torch.Tensor):
            moves = value.requires_grad and value.is_floating_point() and value.dim() > 0 and len(value) == examples
            if moves and not any(value is part for part in self.parts):
                self.parts.append(value)
            return
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ():
            self._gather(part, examples)

    def _replaced(self, value: Any, by: dict[int, torch.Tensor]) -> Any:
        if isinstance(value, torch.Tensor):
            return by.get(id(value), value.detach())
        if isinstance(value, dict):
            return {key: self._replaced(part, by) for key, part in value.items()}
        if isinstance(value, tuple | list):
            parts = [self._replaced(part, by) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        return value

    def __call__(self, rows: Array) -> tuple[float, Array]:
        pieces = torch.split(torch.from_numpy(rows), self.columns, 1)
        free = [p.reshape(o.shape).to(o).contiguous().requires_grad_() for p, o in zip(pieces, self.parts, strict=True)]
        given = self._replaced(self.outputs, {id(o): f for o, f in zip(self.parts, free, strict=True)})
        try:
            seed_torch(self.seed)
            with torch.enable_grad():
                value = self.loss(given, self.target)
                found = torch.autograd.grad(value.reshape(()), free, allow_unused=True)
        except Exception as error:
            raise _RefusedError from error
        gradients = [torch.zeros_like(f) if g is None else g for f, g in zip(free, found, strict=True)]
        return float(value.detach()), np.concatenate(
            [g.reshape(len(rows), -1).cpu().double().numpy() for g in gradients], 1
        )
