"""Run a few examples again: with other neighbours in the batch, with other random numbers, and back to the inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gainstage.backends.shared.reactions import EXAMPLES, leak_of, noise_of, says_examples
from gainstage.backends.torch.models.batch import Batch, first_output
from gainstage.backends.torch.models.preserve import HeldModel
from gainstage.backends.torch.tracing.checkpoints import transparent_checkpoints
from gainstage.graph import Operation, SignalGraph
from gainstage.records import Reactions

__all__ = ["few_of", "output_of", "reactions_of"]

ROUNDING = 1e-6  # of the output's root mean square
ALL = 0.9  # of the places that any example reads are read by each


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
    few = few_of(batch)
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
    calm, unread = _traced_back(model, held, few, seed)
    if unread is not None and unread > 0.5:  # masks drawn at random hide other places the next time
        unread = min(unread, _traced_back(model, held, few, seed + 1)[1] or 0.0)
    shrunk = output.dim() > 0 and calm.shape[1:] == output.shape[1:]  # the other axes do not follow the batch
    leak = (
        leak_of(calm.numpy(), output_of(model, held, _mixed(few), seed, training=False).numpy())
        if established and shrunk
        else None
    )
    draws = any(node.operation is Operation.DROPOUT for node in graph.nodes)
    noise = None
    if model.training and draws:
        one, other = (output_of(model, held, few, draw, training=True) for draw in (seed, seed + 1))
        noise = noise_of(one.numpy(), other.numpy())
    return Reactions(few.examples, leak, noise, _restless(model, held, few, seed), unread, _all_equal(few, calm, graph))


def _restless(model: nn.Module, held: HeldModel, few: Batch, seed: int) -> bool:
    """Report whether the output in evaluation mode depends on random numbers, by one more pass where any are drawn."""
    drawn: list[bool] = []

    def pass_(draw: int) -> torch.Tensor:
        with torch.no_grad(), held.during(draw):
            model.eval()
            before = torch.get_rng_state()
            output = first_output(few.copied().call(model)).detach().double().cpu().clone()
            drawn.append(output.device.type != "cpu" or not torch.equal(before, torch.get_rng_state()))
            return output

    one = pass_(seed)
    if not drawn[0] and all(not p.is_cuda for p in model.parameters()):
        return False
    return bool((pass_(seed + 1) - one).abs().max() > ROUNDING * one.square().mean().sqrt())


def _traced_back(model: nn.Module, held: HeldModel, few: Batch, seed: int) -> tuple[torch.Tensor, float | None]:
    """The output in evaluation mode, and the share of the input's places by which it has no gradient."""
    leaves: list[torch.Tensor] = []

    def open_(tensor: torch.Tensor) -> torch.Tensor:
        changed = tensor.clone()
        if changed.is_floating_point() and changed.dim() and changed.shape[0] == few.examples:
            leaves.append(changed.requires_grad_())
        return changed

    with torch.enable_grad(), held.during(seed), transparent_checkpoints():
        model.eval()
        output = first_output(few.map(open_).call(model))
        calm = output.detach().double().cpu().clone()
        if not leaves or not output.requires_grad or output.is_complex():
            return calm, None
        signs = torch.linspace(1, 2, output.numel(), dtype=output.dtype, device=output.device).reshape(output.shape)
        try:
            found = torch.autograd.grad((output * signs).sum(), leaves, allow_unused=True)
        except Exception:  # an operation without a derivative in evaluation mode
            return calm, None
    return calm, _unread([g for g in found if g is not None])


def _unread(gradients: list[torch.Tensor]) -> float | None:
    """Places of zero gradient in every example; None where each example has places of its own, as behind a maximum."""
    moved = [(g != 0).reshape(len(g), -1) for g in gradients]
    places = sum(m.shape[1] for m in moved)
    read = sum(int(m.any(0).sum()) for m in moved)
    own = sum(float(m.float().sum()) / len(m) for m in moved)
    if not places or not read or own < ALL * read:
        return None
    return 1 - read / places


def _all_equal(few: Batch, calm: torch.Tensor, graph: SignalGraph) -> bool | None:
    """Report whether all examples have the same output although they differ.

    None where a batch norm would have to know the statistics of training for that.
    """
    if any(node.function == "batch_norm" and node.setting("training", 0.0) == 1 for node in graph.nodes):
        return None
    axis = [t for _, t in few.tensors if t.dim() and t.shape[0] == few.examples]
    if calm.dim() < 2 or calm.shape[0] != few.examples or all(bool((t == t[:1]).all()) for t in axis):
        return None
    apart = (calm - calm.mean(0)).square().mean().sqrt()
    return bool(apart <= ROUNDING * calm.square().mean().sqrt())


def few_of(batch: Batch) -> Batch | None:
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


def output_of(model: nn.Module, held: HeldModel, batch: Batch, seed: int, *, training: bool) -> torch.Tensor:
    """The output in evaluation mode, or in the modes that the user has set."""
    with torch.no_grad(), held.during(seed):
        if not training:
            model.eval()
        return first_output(batch.copied().call(model)).detach().double().cpu().clone()


def _is_established(batch: Batch, target: Any) -> bool:
    """Whether labels say that the first axis holds examples: one label an example, or images with maps of labels."""
    first = batch.tensors[0][1]
    return isinstance(target, torch.Tensor) and says_examples(
        tuple(target.shape), target.is_floating_point(), tuple(first.shape)
    )
