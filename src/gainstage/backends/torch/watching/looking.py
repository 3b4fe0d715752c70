"""Look at every layer on the batch that just passed, with the gradient that really reached the output."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.backends.shared.layer_readings import layer_reading
from gainstage.backends.shared.selection import bounds_of, is_rectified, selected
from gainstage.backends.torch.measuring.gradients import gradients_of
from gainstage.backends.torch.measuring.moments import look_at, unit_stats
from gainstage.backends.torch.models.batch import Batch, as_called
from gainstage.backends.torch.models.preserve import hold_model
from gainstage.backends.torch.tracing.call import Draft
from gainstage.backends.torch.tracing.graph_building import named_parameters
from gainstage.backends.torch.tracing.traced_run import Observation, observe
from gainstage.backends.torch.watching.calls import Calls
from gainstage.graph import Node, Operation
from gainstage.records import LayerReading, Moments, NodeProfile

__all__ = ["layers_of", "probe_of"]

SEED = 0
"""Random state of every look, so that masks of dropout are the same and looks can be compared."""


def probe_of(calls: Calls, most: int) -> tuple[Batch, list[Tensor | None]]:
    """At most so many examples of the last batch, and the gradient that reached their outputs."""
    batch = as_called(calls.args, calls.kwargs)
    if batch.examples <= most:
        return batch, list(calls.gradients)
    size = batch.examples

    def first(tensor: Any) -> Any:
        whole = isinstance(tensor, Tensor) and tensor.dim() and tensor.shape[0] == size
        return tensor[:most] if whole else tensor

    return dataclasses.replace(batch.map(first), examples=most), [first(g) for g in calls.gradients]


def layers_of(model: nn.Module, calls: Calls, most: int, scale: float = 1.0) -> tuple[tuple[LayerReading, ...], int]:
    """The layers' readings and the number of examples; the model is left as it was found.

    A model that does not take a part of its batch is given all of it.
    """
    batch, gradients = probe_of(calls, most)
    try:
        return _read(model, calls, batch, gradients, scale), batch.examples
    except Exception:
        whole = as_called(calls.args, calls.kwargs)
        if whole.examples <= most:
            raise
        return _read(model, calls, whole, list(calls.gradients), scale), whole.examples


def _read(
    model: nn.Module, calls: Calls, batch: Batch, gradients: list[Tensor | None], scale: float
) -> tuple[LayerReading, ...]:
    reading = _Reading(batch.examples)
    held = hold_model(model, batch.loose, weights=False)
    with held.during(SEED), torch.enable_grad():
        with calls.numbers():
            seen = observe(model, batch.copied(), eye=reading.eye)
        backward = _backward(model, seen, reading, gradients)
    return reading.layers(seen.graph.nodes, backward, scale)


def _backward(
    model: nn.Module, seen: Observation, reading: _Reading, gradients: list[Tensor | None]
) -> dict[int, Moments]:
    """Moments of the gradient by every layer's output, pulled back from the gradient that the outputs had."""
    pairs = [
        (tensor, gradient)
        for tensor, gradient in zip(seen.returned, gradients, strict=False)
        if gradient is not None and tensor.requires_grad and tensor.shape == gradient.shape
    ]
    if not pairs:
        return {}
    scalar = torch.stack([(tensor.float() * gradient.float()).sum() for tensor, gradient in pairs]).sum()
    parameters, _ = named_parameters(model)
    found = gradients_of(dataclasses.replace(seen, loss=scalar), parameters, reading.profiles, reading.examples)
    return found[1] if found is not None else {}


class _Reading:
    """The eye of one look, and what it has seen."""

    def __init__(self, examples: int) -> None:
        self.examples = examples
        self.profiles: dict[int, NodeProfile] = {}
        self._sharp: dict[int, tuple[float, int]] = {}

    def eye(self, draft: Draft, output: Tensor) -> None:
        """Measure the output of a weighted layer, an activation or a softmax."""
        if draft.stage != "model" or not output.numel() or not output.is_floating_point():
            return
        attention = draft.operation is Operation.SOFTMAX and output.dim() >= 3
        if not attention and not selected(draft, "lean"):
            return
        look = look_at(output, self.examples, draft.example_stride, extremes=False)
        units = unit_stats(look, draft.shape, draft.unit_axis, rectified=is_rectified(draft), bounds=bounds_of(draft))
        self.profiles[draft.index] = NodeProfile(draft.index, look.moments, None, units)
        if attention:
            keys = output.shape[-1]
            self._sharp[draft.index] = keys * look.moments.second_moment, keys

    def layers(self, nodes: tuple[Node, ...], backward: dict[int, Moments], scale: float) -> tuple[LayerReading, ...]:
        """The readings in order of execution; parts of a fused operation are left out."""
        return tuple(
            layer_reading(nodes[index], profile, backward.get(index), *self._sharp.get(index, (None, 0)), scale=scale)
            for index, profile in sorted(self.profiles.items())
            if nodes[index].part_of is None
        )
