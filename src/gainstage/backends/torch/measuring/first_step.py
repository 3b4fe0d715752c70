"""What the optimizer's first step would do, found by taking it and taking it back."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gainstage.backends.shared.magnitudes import MagnitudeLog
from gainstage.backends.torch.measuring.moments import moments_of
from gainstage.backends.torch.models.batch import Batch, copied, first_output, own_loss
from gainstage.backends.torch.models.random_states import random_state
from gainstage.backends.torch.tracing.checkpoints import transparent_checkpoints
from gainstage.backends.torch.tracing.traced_run import LossFunction
from gainstage.errors import InputError
from gainstage.records import Step

__all__ = ["scratch_optimizer", "try_step", "validate_optimizer"]


def validate_optimizer(optimizer: Any) -> None:
    """Refuse what is no optimizer; one of another model is a finding (GS704).

    Raises:
        InputError: it is none.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError(
            f"Expected a torch.optim.Optimizer, received {type(optimizer).__name__}. "
            "Pass an object such as torch.optim.SGD(model.parameters(), lr=0.1)."
        )


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
    whole: bool,
    log: MagnitudeLog,
) -> tuple[Step | None, dict[str, float]]:
    """Take the step, measure it, run forward once more, and take it back.

    What the model's own code changes meanwhile is undone by the caller, who holds the model.

    Returns:
        the step along which the loss changes (None when the optimizer needs a closure), and ‖step‖ / ‖weight‖ of every
        parameter that moved.
    """
    before = {path: p.detach().clone() for path, p in parameters.items() if path in gradients}
    held = [(p, p.grad) for p in (*parameters.values(), *_held_by(optimizer))]
    try:
        for parameter, _ in held:
            parameter.grad = None  # gradients that were there before, also of other models, must not be stepped along
        for path in before:
            parameters[path].grad = gradients[path].clone()
        scratch = scratch_optimizer(optimizer)
        try:
            type(optimizer).step(scratch)
        except Exception:  # L-BFGS and its like evaluate the loss themselves
            return None, {}
        moves = {path: parameters[path].detach() - old for path, old in before.items()}
        for path, move in moves.items():
            log.add_step(path, move, before[path])
        slope = sum(_dot(gradients[path], move) for path, move in moves.items())
        climbs = None if optimizer.state else _cosine(slope, gradients, moves)
        shrinks, share = _decay(before, {path: move for path, move in moves.items() if gradients[path].any()})
        after = _loss_at(model, batch, target, loss, seed, whole)
    finally:
        with torch.no_grad():
            for path, old in before.items():
                parameters[path].copy_(old)
            for parameter, gradient in held:
                parameter.grad = gradient
    relative = {}
    for path, move in moves.items():
        size = moments_of(before[path]).norm
        if size > 0:
            relative[path] = moments_of(move).norm / size
    # L(1) = L(0) + slope + curvature / 2
    return Step(slope, 2 * (after - value - slope), after, climbs, shrinks, share), relative


def _cosine(product: float, one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float | None:
    """Cosine between two vectors of all parameters in ``other``, from their scalar product."""
    size = math.sqrt(sum(_dot(one[path], one[path]) for path in other) * sum(_dot(v, v) for v in other.values()))
    return product / size if 0 < size < math.inf else None


def _decay(weights: Mapping[str, torch.Tensor], moves: Mapping[str, torch.Tensor]) -> tuple[float | None, float | None]:
    """Cosine between the step of all matrices and minus those matrices, and ‖step‖ / ‖weights‖."""
    matrices = {path: move for path, move in moves.items() if move.dim() > 1}
    inward = -sum(_dot(weights[path], move) for path, move in matrices.items())
    weight = sum(_dot(weights[path], weights[path]) for path in matrices)
    step = sum(_dot(move, move) for move in matrices.values())
    if not (0 < weight < math.inf and 0 < step < math.inf):
        return None, None
    return inward / math.sqrt(weight * step), math.sqrt(step / weight)


def _held_by(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def scratch_optimizer(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """An optimizer at the same point that shares nothing but the parameters, and calls none of the user's hooks."""
    scratch = object.__new__(type(optimizer))
    held = (
        (name, scratch_optimizer(v) if isinstance(v, torch.optim.Optimizer) else v)
        for name, v in vars(optimizer).items()
    )
    scratch.__dict__.update(held)
    scratch.state = defaultdict(dict, {parameter: copy.deepcopy(s) for parameter, s in optimizer.state.items()})
    scratch.param_groups = [{**group, "params": list(group["params"])} for group in optimizer.param_groups]
    scratch._optimizer_step_pre_hooks = OrderedDict()
    scratch._optimizer_step_post_hooks = OrderedDict()
    return scratch


def _dot(gradient: torch.Tensor, move: torch.Tensor) -> float:
    if gradient.is_sparse:
        gradient = gradient.to_dense()
    if gradient.is_complex():
        gradient, move = torch.view_as_real(gradient), torch.view_as_real(move)
    return float((gradient.double() * move.double()).sum())


def _loss_at(model: nn.Module, batch: Batch, target: Any, loss: LossFunction | None, seed: int, whole: bool) -> float:
    """The loss at the stepped weights; NaN where they are so far off that the user's own code rejects them."""
    with torch.no_grad(), random_state(seed), transparent_checkpoints():
        try:
            output = batch.copied().call(model)
            if loss is None:
                own = own_loss(output)
                return float(own) if own is not None else math.nan
            return float(loss(output if whole else first_output(output), copied(target)))
        except (ValueError, ArithmeticError, RuntimeError):
            return math.nan
