"""Find the first operation with a value that is NaN or infinite, on the batch that produced it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gainstage.backends.shared.layer_readings import place_of
from gainstage.backends.shared.selection import MASKING
from gainstage.backends.torch.measuring.gradients import gradients_of
from gainstage.backends.torch.measuring.moments import moments_of
from gainstage.backends.torch.models.batch import as_called
from gainstage.backends.torch.models.preserve import hold_model
from gainstage.backends.torch.tracing.call import Draft
from gainstage.backends.torch.tracing.graph_building import named_parameters
from gainstage.backends.torch.tracing.traced_run import Observation, observe
from gainstage.backends.torch.watching.calls import Calls
from gainstage.graph import Node, Operation
from gainstage.records import NodeProfile, NonFinite

__all__ = ["origin_of"]

_MASKING = MASKING | {Operation.ADD}


def origin_of(model: nn.Module, calls: Calls, step: int, *, loss_is_finite: bool) -> NonFinite:
    """Run the batch of the last call once more and name the first place of a value that is not finite.

    Args:
        model: with the weights that the batch met.
        calls: the last call.
        step: number of the step, for the record.
        loss_is_finite: whether the loss is a number, so that the gradient alone is not.
    """
    if not calls.seen:
        return NonFinite(step, "", "unknown")
    batch = as_called(calls.args, calls.kwargs)
    for name, tensor in batch.tensors:
        if name not in batch.masks and tensor.is_floating_point() and not _is_finite(tensor):
            return NonFinite(step, name, "input", _examples(tensor))
    for path, parameter in model.named_parameters():
        if not _is_finite(parameter.detach()):
            return NonFinite(step, path, "parameter")
    tracing = _Tracing()
    held = hold_model(model, batch.loose, weights=False)
    with held.during(0), torch.enable_grad(), calls.numbers():
        seen = observe(model, batch.copied(), eye=tracing.eye)
    if tracing.first is not None:
        node = seen.graph.nodes[tracing.first]
        return NonFinite(step, place_of(node), "forward", _words(node))
    if not loss_is_finite:
        return NonFinite(step, "", "loss")
    with held.during(0):
        return _backward(model, seen, tracing.profiles, batch.examples, step)


def _backward(
    model: nn.Module, seen: Observation, profiles: Mapping[int, NodeProfile], examples: int, step: int
) -> NonFinite:
    """The operation behind the last output whose gradient is not finite, pulled back from random signs."""
    parameters, _ = named_parameters(model)
    found = gradients_of(seen, parameters, profiles, examples)
    moments = found[1] if found is not None else {}
    bad = [index for index, gradient in moments.items() if not gradient.finite]
    if not bad:
        return NonFinite(step, "", "loss")
    reader = next(iter(seen.graph.consumers[max(bad)]), None)
    node = seen.graph.nodes[reader if reader is not None else max(bad)]
    return NonFinite(step, place_of(node), "backward", _words(node))


class _Tracing:
    """An eye that notes the first output that is not finite."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.profiles: dict[int, NodeProfile] = {}

    def eye(self, draft: Draft, output: Tensor) -> None:
        """Look at one output."""
        if not output.is_floating_point() or not output.numel() or draft.operation is Operation.INPUT:
            return
        self.profiles[draft.index] = NodeProfile(draft.index, moments_of(output))
        if self.first is not None or _is_finite(output):
            return
        if draft.operation in _MASKING and bool((output < torch.inf).all()):
            return  # −inf marks what attention must not see
        self.first = draft.index


def _is_finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _examples(tensor: Tensor) -> str:
    bad = (~torch.isfinite(tensor.detach())).flatten(1).any(1).nonzero().flatten().tolist() if tensor.dim() > 1 else []
    shown = ", ".join(map(str, bad[:3]))
    return f"example {shown} of the batch" if bad else ""


def _words(node: Node) -> str:
    return node.function or node.name
