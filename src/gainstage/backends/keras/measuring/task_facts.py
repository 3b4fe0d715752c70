"""Facts about the task of a Keras model: inputs, labels, output, loss and optimizer, without a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.backends.keras.models.batch import Batch, as_array
from gainstage.backends.keras.models.losses import Criterion
from gainstage.backends.keras.tracing.call import channel_axis
from gainstage.backends.shared.arrays import moments_of
from gainstage.backends.shared.losses import chance_of, loss_facts, uniform_of
from gainstage.backends.shared.task_facts import (
    class_axis,
    input_facts,
    input_kind,
    output_facts,
    reads_numbers,
    target_facts,
)
from gainstage.graph import SignalGraph
from gainstage.records import InputFacts, LossFacts, OptimizerFacts, OutputFacts, TargetFacts, Task

__all__ = ["labels_as_read", "task_of"]

Array = NDArray[Any]

_CLASSES = -1  # Keras's losses take the classes on the last axis


def task_of(
    batch: Batch,
    graph: SignalGraph,
    output: Array,
    criterion: Criterion | None,
    loss_value: float | None,
    optimizer: Any,
    *,
    synthetic: bool,
) -> Task:
    """All facts about one measurement."""
    inputs = tuple(_input(a, node, graph, synthetic) for a, node in zip(batch.arrays, graph.inputs, strict=True))
    labels = labels_as_read(criterion, output) if criterion is not None else None
    described = target_facts(labels, _CLASSES) if labels is not None else None
    seen = _output(graph, output, labels)
    loss = None
    if criterion is not None and loss_value is not None:
        loss = _loss(graph, criterion, loss_value, seen, labels, described)
    rates = None
    if optimizer is not None:
        rates = _optimizer(optimizer)
    return Task(inputs, described, seen, loss, rates, batch.examples, True)


def labels_as_read(criterion: Criterion, output: Array) -> Array | None:
    """The labels as the loss reads them: class numbers without a last axis of one, all others as floats.

    Class numbers that do not count are −1, and values have the shape of the output where they are as many.
    """
    labels = criterion.first_labels
    if labels is None or not criterion.function or criterion.function == "ctc":
        return labels
    if criterion.function == "sparse_categorical_crossentropy":
        labels = labels.astype(np.int64)
        labels = labels[..., 0] if labels.ndim == output.ndim and labels.shape[-1] == 1 else labels
        return labels if criterion.ignored is None else np.where(labels == criterion.ignored, -1, labels)
    return labels.astype(np.float32).reshape(output.shape if labels.size == output.size else labels.shape)


def _optimizer(optimizer: Any) -> OptimizerFacts:
    """Name, learning rate, and how long gradients are remembered, as Keras's own optimizers call it."""
    momentum, first, second = (getattr(optimizer, name, None) for name in ("momentum", "beta_1", "beta_2"))
    memory = first if isinstance(first, float) else float(momentum) if isinstance(momentum, (int, float)) else None
    squares = second if isinstance(first, float) and isinstance(second, float) else None
    return OptimizerFacts(
        type(optimizer).__name__, (_rate(optimizer.learning_rate),), memory, squares, _steps(optimizer)
    )


def _steps(optimizer: Any) -> int:
    return int(as_array(optimizer.iterations.value)) if optimizer.built else 0


def _rate(rate: Any) -> float:
    return float(as_array(getattr(rate, "value", rate)))


def _input(array: Array, node: int, graph: SignalGraph, synthetic: bool) -> InputFacts:
    if array.dtype.kind != "f":
        if not reads_numbers(graph, node):
            return InputFacts(array.shape, "tokens", synthetic)
        array = array.astype(np.float32)
    features = _by_feature(array)
    statistics = features.mean(1, dtype=np.float64), features.std(1, dtype=np.float64)
    return input_facts(graph, node, array.shape, moments_of(array, extremes=True), statistics, synthetic=synthetic)


def _by_feature(array: Array) -> Array:
    """One feature a row: channels of images, columns of everything else."""
    if array.ndim < 2:
        return array.reshape(1, -1)
    axis = channel_axis(None, array.ndim) if input_kind(array.ndim) == "image" else array.ndim - 1
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


def _output(graph: SignalGraph, output: Array, labels: Array | None) -> OutputFacts | None:
    if not graph.outputs:
        return None
    axis = class_axis(output.shape, labels.shape if labels is not None else None)
    units = output.shape[axis] if output.ndim else 1
    with np.errstate(all="ignore"):
        within = float(np.sqrt(output.var(axis, dtype=np.float64).mean())) if units > 1 else None
    ends = (output == output.min()) | (output == output.max()) if output.size else None
    clipped = None if ends is None else float(ends.mean())
    return output_facts(graph, output.shape, units, moments_of(output, extremes=True), within, clipped)


def _loss(
    graph: SignalGraph,
    criterion: Criterion,
    value: float,
    output: OutputFacts | None,
    labels: Array | None,
    target: TargetFacts | None,
) -> LossFacts:
    """The loss: Keras's own by their kind, a function of the user's by the operations that it runs."""
    kind = criterion.kind
    if kind is None:
        return loss_facts(graph, value, output, labels, target)
    inner = "log_softmax" if kind == "cross_entropy" else ""
    uniform, chance = None, None
    if criterion.has_chance:
        uniform = uniform_of(kind, output.units if output is not None else 1)
        chance = chance_of(kind, *_smoothed(labels, target, kind, criterion.smoothing))
    return LossFacts(kind, value, graph.loss, inner, chance, uniform, criterion.mean_reduced)


def _smoothed(
    labels: Array | None, target: TargetFacts | None, kind: str, smoothing: float
) -> tuple[Array | None, TargetFacts | None]:
    """The labels as a loss with label smoothing compares them."""
    if labels is None or not smoothing or labels.dtype.kind != "f" or labels.ndim == 0:
        return labels, target
    even = 0.5 if kind in ("bce", "bce_logits") else 1 / labels.shape[_CLASSES]
    smooth = labels * (1 - smoothing) + smoothing * even
    return smooth, target if kind in ("bce", "bce_logits") else target_facts(smooth, _CLASSES)
