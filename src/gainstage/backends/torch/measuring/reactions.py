"""Run a few examples again: with other neighbours in the batch, and with other random numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gainstage.backends.torch.models.batch import Batch, first_output
from gainstage.backends.torch.models.preserve import HeldModel
from gainstage.graph import Operation, SignalGraph
from gainstage.records import Reactions

__all__ = ["reactions_of"]

EXAMPLES = 8


def reactions_of(
    model: nn.Module, held: HeldModel, batch: Batch, target: Any, output: torch.Tensor, graph: SignalGraph, seed: int
) -> Reactions | None:
    """Outputs of at most eight examples under changed circumstances; the model is left as it was found.

    Args:
        model: in the mode that is judged.
        held: the same model; every pass is undone.
        batch: the whole batch.
        target: labels; one an example say that the first axis holds the examples.
        output: what the model returned for the whole batch.
        graph: of that run, for whether it draws random numbers.
        seed: of the random state of every pass.

    Returns:
        the reactions; None where the model takes no smaller batch.
    """
    few = _few(batch)
    if few is None:
        return None
    try:
        return _measured(model, held, few, _is_established(batch, target), output, graph, seed)
    except Exception:  # whatever the user's model raises for a batch of another size
        return None


def _measured(
    model: nn.Module,
    held: HeldModel,
    few: Batch,
    established: bool,
    output: torch.Tensor,
    graph: SignalGraph,
    seed: int,
) -> Reactions:
    calm = _run(model, held, few, seed, training=False)
    shrunk = output.dim() > 0 and calm.shape[1:] == output.shape[1:]  # the other axes do not follow the batch
    leak = _change(calm, _run(model, held, _mixed(few), seed, training=False)) if established and shrunk else None
    draws = any(node.operation is Operation.DROPOUT for node in graph.nodes)
    noise = None
    if model.training and draws:
        noise = _noise(_run(model, held, few, seed, training=True), _run(model, held, few, seed + 1, training=True))
    return Reactions(few.examples, leak, noise)


def _few(batch: Batch) -> Batch | None:
    """The first examples of every tensor that has one for each; None where there are too few to compare."""
    if batch.examples < 4 or batch.example_axis != 0:
        return None

    def first(tensor: Any) -> Any:
        whole = isinstance(tensor, torch.Tensor) and tensor.dim() and tensor.shape[0] == batch.examples
        return tensor[:EXAMPLES] if whole else tensor

    few = batch.map(first)
    return Batch(few.args, few.kwargs, few.tensors, min(EXAMPLES, batch.examples), 0, batch.masks)


def _mixed(few: Batch) -> Batch:
    """Every second example replaced by the last: a recurrence over the batch passes it on to the ones in between."""

    def replace(tensor: Any) -> Any:
        if not (isinstance(tensor, torch.Tensor) and tensor.dim() and tensor.shape[0] == few.examples):
            return tensor
        changed = tensor.clone()
        changed[::2] = tensor[-1]
        return changed

    return few.map(replace)


def _run(model: nn.Module, held: HeldModel, batch: Batch, seed: int, *, training: bool) -> torch.Tensor:
    """The output in evaluation mode, or in the modes that the user has set."""
    with torch.no_grad(), held.during(seed):
        if not training:
            model.eval()
        return first_output(batch.copied().call(model)).detach().double().clone()


def _is_established(batch: Batch, target: Any) -> bool:
    """Whether labels say that the first axis holds examples: one label an example, or images with maps of labels."""
    if not isinstance(target, torch.Tensor) or not target.dim() or target.shape[0] != batch.examples:
        return False
    first = batch.tensors[0][1]
    one_each = target.dim() == 1 or (target.is_floating_point() and target.dim() == 2 and first.dim() == 2)
    return one_each or first.dim() >= 4


def _change(before: torch.Tensor, after: torch.Tensor) -> float | None:
    """Median over the unchanged examples of the change of their output, over its root mean square."""
    size = before.square().mean().sqrt()
    if before.shape != after.shape or not size > 0:
        return None
    changed = (after - before)[1::2][: len(before) // 2]
    each = changed.reshape(len(changed), -1).square().mean(-1).sqrt() / size
    return float(each.median())


def _noise(one: torch.Tensor, other: torch.Tensor) -> float | None:
    within = (one - other).square().mean() / 2
    mean = (one + other) / 2
    between = (mean - mean.mean(0)).square().sum(0).mean() / (len(mean) - 1) - within / 2
    if not within > 0:
        return None
    return float(within / between) if between > 0 else float("inf")
