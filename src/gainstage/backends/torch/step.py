"""What the optimizer's first step would do, found by taking it and taking it back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gainstage.backends.torch.batch import Batch, first_output, own_loss
from gainstage.backends.torch.observe import LossFunction, takes_whole
from gainstage.backends.torch.preserve import random_state
from gainstage.errors import InputError
from gainstage.records import Step

__all__ = ["try_step", "validate_optimizer"]


def validate_optimizer(optimizer: Any, model: nn.Module) -> None:
    """Refuse an optimizer that is none, or that belongs to another model.

    Raises:
        InputError: either of the two.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError(
            f"Expected a torch.optim.Optimizer, received {type(optimizer).__name__}. "
            "Pass an object such as torch.optim.SGD(model.parameters(), lr=0.1)."
        )
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise InputError("The optimizer holds none of this model's parameters. Build it with model.parameters().")


def try_step(
    model: nn.Module,
    batch: Batch,
    target: Any,
    loss: LossFunction | None,
    optimizer: torch.optim.Optimizer,
    gradients: Mapping[str, torch.Tensor],
    parameters: Mapping[str, torch.Tensor],
    value: float,
    seed: int,
) -> tuple[Step | None, dict[str, float]]:
    """Take the step, measure it, run forward once more, and take it back.

    Returns:
        the step along which the loss changes (None when the optimizer needs a closure), and ‖step‖ / ‖weight‖ of every
        parameter that moved.
    """
    before = {path: p.detach().clone() for path, p in parameters.items() if path in gradients}
    held = {path: parameters[path].grad for path in before}
    scratch = copy.copy(optimizer)
    scratch.state = copy.deepcopy(optimizer.state)
    try:
        for path in before:
            parameters[path].grad = gradients[path].clone()
        try:
            scratch.step()
        except (TypeError, RuntimeError):  # L-BFGS and its like evaluate the loss themselves
            return None, {}
        moves = {path: parameters[path].detach() - old for path, old in before.items()}
        slope = sum(float((gradients[p].float() * m.float()).sum()) for p, m in moves.items())
        after = _loss_at(model, batch, target, loss, seed)
    finally:
        with torch.no_grad():
            for path, old in before.items():
                parameters[path].copy_(old)
                parameters[path].grad = held[path]
    relative = {}
    for path, move in moves.items():
        size = float(torch.linalg.vector_norm(before[path].float()))
        if size > 0:
            relative[path] = float(torch.linalg.vector_norm(move.float())) / size
    # L(1) = L(0) + slope + curvature / 2
    return Step(slope, 2 * (after - value - slope), after), relative


def _loss_at(model: nn.Module, batch: Batch, target: Any, loss: LossFunction | None, seed: int) -> float:
    with torch.no_grad(), random_state(seed):
        output = batch.call(model)
        if loss is None:
            own = own_loss(output)
            return float(own) if own is not None else float("nan")
        return float(loss(output if takes_whole(output) else first_output(output), target))
