"""What is known of the task, as facts without tensors: inputs, labels, output, loss."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gainstage.backends.keras.measuring.moments import moments_of
from gainstage.backends.keras.models.batch import Batch, as_array
from gainstage.backends.keras.models.losses import Criterion
from gainstage.backends.keras.tracing.call import channel_axis
from gainstage.graph import Operation, SignalGraph, nearest_after, nearest_before
from gainstage.records import InputFacts, LossFacts, LossKind, OptimizerFacts, OutputFacts, TargetFacts, Task

__all__ = ["task_of"]

Array = NDArray[Any]

_OUTWARD = frozenset({Operation.RESHAPE, Operation.DROPOUT, Operation.REDUCTION, Operation.POOLING, Operation.SCALE})
_INWARD = frozenset(Operation) - {Operation.LINEAR, Operation.CONVOLUTION, Operation.RECURRENT, Operation.NORMALIZATION}


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
    labels = criterion.first_labels if criterion is not None else None
    if labels is not None and criterion is not None and criterion.function == "sparse_categorical_crossentropy":
        labels = labels.astype(np.int64)
        labels = labels[..., 0] if labels.ndim == output.ndim and labels.shape[-1] == 1 else labels
    described = _target(labels) if labels is not None else None
    seen = _output(graph, output, labels)
    loss = None
    if criterion is not None and loss_value is not None:
        loss = _loss(graph, criterion, loss_value, seen, labels, described)
    rates = None
    if optimizer is not None:
        rates = OptimizerFacts(type(optimizer).__name__, (_rate(optimizer.learning_rate),))
    return Task(inputs, described, seen, loss, rates, batch.examples, True)


def _rate(rate: Any) -> float:
    return float(as_array(getattr(rate, "value", rate)))


def _input(array: Array, node: int, graph: SignalGraph, synthetic: bool) -> InputFacts:
    if array.dtype.kind != "f":
        return InputFacts(array.shape, "tokens", synthetic)
    kind: Literal["image", "values"] = "image" if array.ndim >= 4 else "values"
    moments = moments_of(array, extremes=True)
    first = nearest_after(
        graph, node, lambda n: n.operation.weighted or n.operation is Operation.NORMALIZATION, through=_INWARD
    )
    normalised = bool(first) and all(graph.nodes[i].operation is Operation.NORMALIZATION for i in first)
    features = _by_feature(array, kind)
    spreads, means = features.std(1, dtype=np.float64), features.mean(1, dtype=np.float64)
    varying = spreads[spreads > 1e-7 * (np.abs(means) + 1e-30)]
    feature_spread = None
    if varying.size and moments.finite:
        # The middle value, and the lower of both where there are two, as in the other backends.
        feature_spread = float(varying.min()), float(np.sort(varying)[(varying.size - 1) // 2]), float(varying.max())
    return InputFacts(
        array.shape,
        kind,
        synthetic,
        moments.mean,
        moments.spread,
        moments.minimum,
        moments.maximum,
        feature_spread,
        (float(means.min()), float(means.max())),
        len(features) - varying.size,
        len(features),
        moments.nonfinite,
        normalised,
    )


def _by_feature(array: Array, kind: str) -> Array:
    """One feature a row: channels of images, columns of everything else."""
    if array.ndim == 1:
        return array.reshape(1, -1)
    axis = channel_axis(None, array.ndim) if kind == "image" else array.ndim - 1
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


def _target(labels: Array) -> TargetFacts:
    if labels.dtype.kind in "iub":
        whole = labels.astype(np.int64)
        valid = whole[whole >= 0]
        counts = np.bincount(valid.reshape(-1)) if valid.size else np.zeros(1)
        shares = counts[counts > 0] / max(valid.size, 1)
        entropy = float(-(shares * np.log(shares)).sum())
        moments = moments_of(valid.astype(np.float64) if valid.size else np.zeros(1))
        low, high = float(whole.min()), float(whole.max())
        return TargetFacts(
            labels.shape, "classes", low, high, moments.mean, moments.spread, int((counts > 0).sum()), entropy
        )
    moments = moments_of(labels, extremes=True)
    kind = _float_kind(labels)
    prior = None
    if kind in ("binary", "multi_label"):
        prior = _entropy([moments.mean, 1 - moments.mean])
    elif kind == "one_hot":
        prior = _entropy(labels.reshape(-1, labels.shape[-1]).mean(0).tolist())
    low, high = moments.minimum or 0.0, moments.maximum or 0.0
    return TargetFacts(labels.shape, kind, low, high, moments.mean, moments.spread, None, prior)


def _float_kind(labels: Array) -> Literal["multi_label", "one_hot", "binary", "probabilities", "values"]:
    wide = labels.ndim > 1 and labels.shape[-1] > 1  # Keras's losses take the classes last
    if ((labels == 0) | (labels == 1)).all():
        if not wide:
            return "binary"
        return "one_hot" if (labels.sum(-1) == 1).all() else "multi_label"
    if wide and labels.min() >= 0 and (np.abs(labels.sum(-1) - 1) < 1e-4).all():
        return "probabilities"
    return "values"


def _entropy(shares: list[float]) -> float:
    return -sum(p * math.log(p) for p in shares if 0 < p < 1)


def _output(graph: SignalGraph, output: Array, labels: Array | None) -> OutputFacts | None:
    if not graph.outputs:
        return None
    node = graph.outputs[0]
    last = nearest_before(
        graph, node, lambda n: n.operation in (Operation.ACTIVATION, Operation.SOFTMAX), through=_OUTWARD
    )
    axis = _class_axis(output, labels)
    moments = moments_of(output, extremes=True)
    units = output.shape[axis] if output.ndim else 1
    with np.errstate(all="ignore"):
        within = float(np.sqrt(output.var(axis, dtype=np.float64).mean())) if units > 1 else None
    return OutputFacts(
        node,
        output.shape,
        units,
        graph.nodes[last[0]].function if len(last) == 1 else "",
        moments.minimum,
        moments.maximum,
        moments.mean,
        moments.spread,
        within,
    )


def _class_axis(output: Array, labels: Array | None) -> int:
    """The axis of classes: the second one where the labels have the other axes (dense prediction), else the last."""
    last = max(output.ndim - 1, 0)
    if labels is None or output.ndim <= 2 or labels.ndim != output.ndim - 1:
        return last
    second = labels.shape == (output.shape[0], *output.shape[2:]) and labels.shape != output.shape[:-1]
    return 1 if second else last


def _loss(
    graph: SignalGraph,
    criterion: Criterion,
    value: float,
    output: OutputFacts | None,
    labels: Array | None,
    target: TargetFacts | None,
) -> LossFacts:
    kind, inner = (criterion.kind, "") if criterion.kind is not None else _recognise(graph, output)
    if kind == "cross_entropy":
        inner = "log_softmax"
    units = output.units if output is not None else 1
    uniform = math.log(units) if kind in ("cross_entropy", "nll", "probability_nll") and units > 1 else None
    if kind in ("bce", "bce_logits"):
        uniform = math.log(2)
    chance = _chance(kind, labels, target)
    return LossFacts(kind, value, graph.loss, inner, chance, uniform, criterion.mean_reduced)


def _recognise(graph: SignalGraph, output: OutputFacts | None) -> tuple[LossKind, str]:
    """Which loss a function of the user's own is, and what it does to the output first."""
    if graph.loss is None or output is None:
        return "other", ""
    own = [n for n in graph.nodes if n.stage == "loss"]
    functions = [n.function for n in own if n.operation in (Operation.SOFTMAX, Operation.ACTIVATION)]
    inner = next((f for f in functions if f), "")
    kinds = {n.function for n in own if n.operation is Operation.LOSS}
    if kinds:
        known: tuple[LossKind, ...] = ("cross_entropy", "probability_nll", "bce", "bce_logits")
        kind: LossKind = next((k for k in known if kinds == {k}), "other")
        return kind, inner
    if "log_softmax" in functions:
        return "cross_entropy", inner
    if "log" in functions and "softmax" not in functions:
        return "probability_nll", inner
    if inner in ("pow", "square") and not {"log", "exp"} & set(functions):
        return "mse", ""
    if inner == "abs":
        return "l1", ""
    return "other", inner


def _chance(kind: LossKind, labels: Array | None, target: TargetFacts | None) -> float | None:
    """The loss of the best constant guess on these labels."""
    if labels is None or target is None:
        return None
    if kind in ("cross_entropy", "nll", "probability_nll"):
        return target.entropy
    if kind in ("bce", "bce_logits"):
        if target.kind == "classes" and target.maximum <= 1:
            return _entropy([target.mean, 1 - target.mean])
        return target.entropy
    if kind in ("mse", "l1"):
        values = labels.astype(np.float64)
        centred = values - (values.mean(0) if kind == "mse" else np.median(values, 0))
        return float(np.square(centred).mean() if kind == "mse" else np.abs(centred).mean())
    return None
