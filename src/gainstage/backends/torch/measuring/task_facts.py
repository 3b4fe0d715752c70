"""Facts about the task of a PyTorch model: inputs, labels, output, loss and optimizer, without a tensor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gainstage.backends.shared.coordinates import MOST, coordinate_facts
from gainstage.backends.shared.losses import loss_facts
from gainstage.backends.shared.task_facts import class_axis, input_facts, input_kind, output_facts, target_facts
from gainstage.backends.torch.measuring.moments import moments_of
from gainstage.backends.torch.models.batch import Batch
from gainstage.backends.torch.tracing.traced_run import Observation
from gainstage.graph import SignalGraph
from gainstage.records import CoordinateFacts, InputFacts, OptimizerFacts, OutputFacts, Task

__all__ = ["labels_of", "task_of"]

_CLASSES = 1  # PyTorch's losses take the classes on the second axis


def task_of(
    batch: Batch,
    seen: Observation,
    target: Any,
    loss_value: float | None,
    optimizer: torch.optim.Optimizer | None,
    *,
    training: bool,
    synthetic: bool,
    names: Sequence[str] = (),
) -> Task:
    """All facts about one observation; ``names`` are those of the model's positional arguments."""
    graph = seen.graph
    inputs = tuple(
        _input(tensor, node, graph, synthetic)
        for (name, tensor), node in zip(batch.tensors, graph.inputs, strict=True)
        if name not in batch.masks
    )
    tensor = labels_of(batch, target, seen.own_loss, names)
    labels = _as_array(tensor) if tensor is not None else None
    output = _output(seen, tensor)
    described = target_facts(labels, _CLASSES) if labels is not None else None
    loss = None if loss_value is None else loss_facts(graph, loss_value, output, labels, described)
    held = None if optimizer is None else _optimizer(optimizer)
    coordinates = None if synthetic or tensor is None else _coordinates(batch.tensors[0][1], tensor, seen.output)
    return Task(inputs, described, output, loss, held, batch.examples, training, coordinates=coordinates)


def _coordinates(x: torch.Tensor, target: torch.Tensor, output: torch.Tensor) -> CoordinateFacts | None:
    """Measure the roughness of values over inputs of at most three dimensions."""
    if x.dim() != 2 or x.shape[1] > 3 or not all(t.is_floating_point() and t.dim() for t in (x, target, output)):
        return None
    arrays = (t[:MOST].detach().float().cpu().numpy() for t in (x, target, output))
    return coordinate_facts(*arrays)


def _optimizer(optimizer: torch.optim.Optimizer) -> OptimizerFacts:
    """Name, learning rates, and how long gradients are remembered, as PyTorch's own optimizers call it."""
    groups = optimizer.param_groups
    betas = [g["betas"] for g in groups if isinstance(g.get("betas"), tuple) and len(g["betas"]) == 2]
    factors: list[tuple[float, float | None]]
    factors = [(float(g["momentum"]), None) for g in groups if isinstance(g.get("momentum"), (int, float))]
    factors += [(float(a), float(b)) for a, b in betas if isinstance(a, float) and isinstance(b, float)]
    memory, squares = max(factors, key=lambda pair: pair[0], default=(None, None))
    rates = tuple(float(g.get("lr", math.nan)) for g in groups)
    return OptimizerFacts(type(optimizer).__name__, rates, memory, squares, _steps(optimizer))


def _steps(optimizer: torch.optim.Optimizer) -> int:
    """The number of steps that the optimizer remembers; one where it remembers something else, such as momentum."""
    counts = [int(state["step"]) for state in optimizer.state.values() if "step" in state]
    return max(counts, default=1 if any(optimizer.state.values()) else 0)


def labels_of(batch: Batch, target: Any, own_loss: bool, names: Sequence[str] = ()) -> torch.Tensor | None:
    """The labels: those that were passed, or those among the inputs of a model that computes its own loss."""
    if isinstance(target, torch.Tensor):
        return target.detach()
    if own_loss:
        named = {**dict(zip(names, batch.args, strict=False)), **batch.kwargs}
        for name in ("labels", "label", "targets", "target", "next_sentence_label", "start_positions", "y"):
            found = named.get(name)
            if isinstance(found, torch.Tensor):
                return found.detach()
    return None


def _as_array(labels: torch.Tensor) -> np.ndarray[Any, Any]:
    """Labels as an array; half precision becomes single, since NumPy has no bfloat16."""
    labels = labels.cpu()
    half = labels.is_floating_point() and labels.dtype not in (torch.float32, torch.float64)
    return (labels.float() if half else labels).numpy()


def _input(tensor: torch.Tensor, node: int, graph: SignalGraph, synthetic: bool) -> InputFacts:
    shape = tuple(tensor.shape)
    if not tensor.is_floating_point():
        return InputFacts(shape, "tokens", synthetic)
    values = tensor.detach().float()
    features = _by_feature(values)
    spreads = features.std(1, unbiased=False) if features.shape[1] > 1 else torch.zeros(len(features))
    statistics = features.mean(1).cpu().numpy(), spreads.cpu().numpy()
    return input_facts(graph, node, shape, moments_of(values, extremes=True), statistics, synthetic=synthetic)


def _by_feature(values: torch.Tensor) -> torch.Tensor:
    """One feature a row: channels of images, columns of everything else."""
    if values.dim() < 2:
        return values.reshape(1, -1)
    axis = 1 if input_kind(values.dim()) == "image" else values.dim() - 1
    return values.movedim(axis, 0).reshape(values.shape[axis], -1)


def _output(seen: Observation, labels: torch.Tensor | None) -> OutputFacts | None:
    graph, tensor = seen.graph, seen.output.detach()
    if not graph.outputs or not tensor.is_floating_point():
        return None
    shape, values = tuple(tensor.shape), tensor.float()
    axis = class_axis(shape, tuple(labels.shape) if labels is not None else None)
    units = shape[axis] if shape else 1
    within = float(values.var(axis, unbiased=False).mean().sqrt()) if units > 1 else None
    clipped = None
    if values.numel() and not values.is_complex():
        low, high = torch.aminmax(values)
        clipped = float(((values == low) | (values == high)).float().mean())
    return output_facts(graph, shape, units, moments_of(values, extremes=True), within, clipped)
