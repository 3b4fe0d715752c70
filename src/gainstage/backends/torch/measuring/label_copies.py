"""A test for labels of a sequence that can be read off its input."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gainstage.backends.torch.measuring.reactions import few_of, output_of
from gainstage.backends.torch.models.batch import Batch
from gainstage.backends.torch.models.preserve import HeldModel
from gainstage.backends.torch.models.random_states import random_state, seed_torch
from gainstage.backends.torch.tracing.traced_run import LossFunction

__all__ = ["copied_labels"]

LEAST = 4  # positions
SAME = 0.95  # of the labels
MOVED = 1e-3  # of the output's root mean square: beyond rounding in half precision


def copied_labels(
    model: nn.Module, held: HeldModel, batch: Batch, target: Any, loss: LossFunction, seed: int
) -> float | None:
    """Share of the labels that equal a token of the input which the output beside them depends on.

    Which output a label is compared with follows from the loss: the position at which its gradient by the outputs
    changes when that label changes. What that output depends on follows from changing the token in the input. A token
    of an earlier position is no leak, and the token of the same position is one where the output is causal: where
    outputs of earlier positions do not depend on it.

    Args:
        model: in any mode; it runs in evaluation mode.
        held: the same model; every pass is undone.
        batch: token numbers (examples, time) among its tensors.
        target: class numbers (examples, time).
        loss: called as ``loss(output, target)``.
        seed: of the random state of every pass.

    Returns:
        the share; zero where no leak was found; None where labels are no tokens of the input.
    """
    few = few_of(batch)
    if few is None or not isinstance(target, torch.Tensor) or target.dim() != 2 or target.is_floating_point():
        return None
    labels = target[: few.examples].cpu()
    found = [(name, t.cpu()) for name, t in few.tensors if t.shape == labels.shape and not t.is_floating_point()]
    if not found or labels.shape[1] < LEAST:
        return None
    name, tokens = found[0]
    for shift in (1, 0):
        share = _equal(tokens, labels, shift)
        if share >= SAME:
            try:
                leaks = _leaks(model, held, few, (name, tokens), target[: few.examples], loss, shift, seed)
            except Exception:  # whatever the user's model or loss raises for fewer examples or other tokens
                return None
            return share if leaks else 0.0
    return None


def _equal(tokens: torch.Tensor, labels: torch.Tensor, shift: int) -> float:
    """Share of the labels that count and equal the token so many positions later; zero where labels hardly vary."""
    length = labels.shape[1] - shift
    own, later = labels[:, :length], tokens[:, shift:]
    counts = own >= 0
    if not bool(counts.any()) or len(torch.unique(own[counts])) < LEAST or not bool(counts.sum() > counts.numel() / 2):
        return 0.0
    return float((own == later)[counts].float().mean())


def _leaks(
    model: nn.Module,
    held: HeldModel,
    few: Batch,
    tokens: tuple[str, torch.Tensor],
    labels: torch.Tensor,
    loss: LossFunction,
    shift: int,
    seed: int,
) -> bool:
    """Report whether the output that a label is compared with depends on the token that the label equals."""
    length = labels.shape[1]
    label_at = (length - shift) // 2
    token_at = label_at + shift
    before = output_of(model, held, few, seed, training=False)
    axis = 1 if before.dim() == 3 and before.shape[1] == length else 2
    if before.dim() != 3 or before.shape[axis] != length or before.shape[1] == before.shape[2]:
        return False
    output_at = _compared(loss, before, labels, label_at, axis, seed)
    changed = few.map(lambda t: _exchanged(t, token_at) if _is(t, tokens[1]) else t)
    after = output_of(model, held, changed, seed, training=False)
    moved = (after - before).square().transpose(1, axis).mean((0, 2)).sqrt() > MOVED * before.square().mean().sqrt()
    if output_at is None or not bool(moved[output_at]):
        return False
    return output_at < token_at or (output_at == token_at and not bool(moved[:output_at].any()))


def _is(tensor: Any, tokens: torch.Tensor) -> bool:
    same = isinstance(tensor, torch.Tensor) and tensor.shape == tokens.shape and not tensor.is_floating_point()
    return same and bool((tensor.cpu() == tokens).all())


def _exchanged(tensor: torch.Tensor, at: int) -> torch.Tensor:
    """The tokens at one position handed to the next example."""
    changed = tensor.clone()
    changed[:, at] = tensor[:, at].roll(1, 0)
    return changed


def _compared(
    loss: LossFunction, output: torch.Tensor, labels: torch.Tensor, at: int, axis: int, seed: int
) -> int | None:
    """The one position at which the gradient by the output changes with the label; None where there are several."""

    def gradient(own: torch.Tensor) -> torch.Tensor:
        free = output.to(torch.get_default_dtype()).to(labels.device).requires_grad_()
        seed_torch(seed)
        with torch.enable_grad():
            return torch.autograd.grad(loss(free, own).reshape(()), free)[0]

    with random_state(seed):
        apart = (gradient(labels) - gradient(_exchanged(labels, at))).abs().transpose(1, axis).amax((0, 2))
    places = torch.nonzero(apart > 0).flatten().tolist()
    return places[0] if len(places) == 1 else None
