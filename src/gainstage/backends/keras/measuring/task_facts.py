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
from gainstage.backends.shared.task_facts import class_axis, input_facts, input_kind, output_facts, target_facts
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
        rates = OptimizerFacts(type(optimizer).__name__, (_rate(optimizer.learning_rate),))
    return Task(inputs, described, seen, loss, rates, batch.examples, True)


def labels_as_read(criterion: Criterion, output: Array) -> Array | None:
    """The labels as the loss reads them: class numbers without a last axis of one, one-hot labels as floats."""
    labels = criterion.first_labels
    if labels is None:
        return None
    if criterion.function == "sparse_categorical_crossentropy":
        labels = labels.astype(np.int64)
        return labels[..., 0] if labels.ndim == output.ndim and labels.shape[-1] == 1 else labels
    return labels.astype(np.float32) if criterion.function == "categorical_crossentropy" else labels


def _rate(rate: Any) -> float:
    return float(as_array(getattr(rate, "value", rate)))


def _input(array: Array, node: int, graph: SignalGraph, synthetic: bool) -> InputFacts:
    if array.dtype.kind != "f":
        return InputFacts(array.shape, "tokens", synthetic)
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
    return output_facts(graph, output.shape, units, moments_of(output, extremes=True), within)


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
    uniform = uniform_of(kind, output.units if output is not None else 1)
    return LossFacts(kind, value, graph.loss, inner, chance_of(kind, labels, target), uniform, criterion.mean_reduced)
