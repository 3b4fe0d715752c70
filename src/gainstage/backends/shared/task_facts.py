"""Facts about inputs, labels and output, from what a backend has reduced to NumPy."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gainstage.backends.shared.arrays import moments_of
from gainstage.backends.shared.losses import binary_entropy
from gainstage.graph import Operation, SignalGraph, nearest_after, nearest_before
from gainstage.records import InputFacts, Moments, OutputFacts, TargetFacts

__all__ = ["class_axis", "input_facts", "input_kind", "output_facts", "reads_numbers", "target_facts"]

Array = NDArray[Any]

_OUTWARD = frozenset({Operation.RESHAPE, Operation.DROPOUT, Operation.REDUCTION, Operation.POOLING, Operation.SCALE})
_INWARD = frozenset(Operation) - {Operation.LINEAR, Operation.CONVOLUTION, Operation.RECURRENT, Operation.NORMALIZATION}
_CONSTANT = 1e-7  # a standard deviation this small a part of the mean is rounding


def input_kind(rank: int) -> Literal["image", "values"]:
    """Floating-point arrays of four and more axes are images: batch, channels, and two of space."""
    return "image" if rank >= 4 else "values"


def reads_numbers(graph: SignalGraph, node: int) -> bool:
    """Report whether integers count as values: a layer reads them first, and not a table or a one-hot code.

    Pixels are often whole numbers. Masks, which reach no layer by themselves, are no values.

    >>> from gainstage.graph import Node
    >>> pixels = Node(0, Operation.INPUT, "input", (), (8, 784))
    >>> reads_numbers(SignalGraph((pixels, Node(1, Operation.LINEAR, "matmul", (0,), (8, 10))), ()), 0)
    True
    >>> reads_numbers(SignalGraph((pixels, Node(1, Operation.EMBEDDING, "take", (0,), (8, 784, 16))), ()), 0)
    False
    """
    table = frozenset({Operation.EMBEDDING})
    readers = nearest_after(
        graph,
        node,
        lambda n: n.operation.weighted or n.operation is Operation.NORMALIZATION or n.function == "one_hot",
        through=_INWARD - table,
    )
    kinds = {graph.nodes[i].operation if graph.nodes[i].function != "one_hot" else Operation.EMBEDDING for i in readers}
    return bool(kinds) and not kinds & table


def input_facts(
    graph: SignalGraph,
    node: int,
    shape: tuple[int, ...],
    moments: Moments,
    features: tuple[Array, Array],
    *,
    synthetic: bool,
) -> InputFacts:
    """One floating-point input.

    Args:
        graph: of the model.
        node: of the input.
        shape: with the batch.
        moments: over all elements, with extremes.
        features: mean and standard deviation over examples and positions of every feature (a column of a table, a
            channel of an image), each of shape ``(features,)``.
        synthetic: whether gainstage made the batch.
    """
    means, spreads = (np.asarray(f, np.float64) for f in features)
    varying = np.sort(spreads[spreads > _CONSTANT * (np.abs(means) + 1e-30)])
    feature_spread = None
    if varying.size and moments.finite:
        feature_spread = float(varying[0]), float(varying[(varying.size - 1) // 2]), float(varying[-1])
    first = nearest_after(
        graph, node, lambda n: n.operation.weighted or n.operation is Operation.NORMALIZATION, through=_INWARD
    )
    normalised = bool(first) and all(graph.nodes[i].operation is Operation.NORMALIZATION for i in first)
    return InputFacts(
        shape,
        input_kind(len(shape)),
        synthetic,
        moments.mean,
        moments.spread,
        moments.minimum,
        moments.maximum,
        feature_spread,
        (float(means.min()), float(means.max())),
        means.size - varying.size,
        means.size,
        moments.nonfinite,
        normalised,
    )


def target_facts(labels: Array, classes: int) -> TargetFacts:
    """The labels; entropy in nats where they are classes or shares of classes.

    Args:
        labels: of any numeric type; negative integers stand for positions that do not count.
        classes: the axis along which one-hot labels and probabilities sum to one.

    >>> soft = target_facts(np.array([[0.9, 0.1], [0.1, 0.9]]), classes=1)
    >>> soft.kind, soft.classes, round(soft.entropy, 4)
    ('probabilities', 2, 0.6931)
    """
    if labels.dtype.kind in "iub":
        return _class_numbers(labels.astype(np.int64))
    moments, kind = moments_of(labels, extremes=True), _float_kind(labels, classes)
    entropy: float | None = None
    count: int | None = None
    if kind in ("binary", "multi_label"):
        entropy = binary_entropy(moments.mean)
    elif kind in ("one_hot", "probabilities"):
        shares = np.moveaxis(labels, classes, -1).reshape(-1, labels.shape[classes]).mean(0, dtype=np.float64)
        entropy, count = _entropy(shares), int((shares > 0).sum())
    smallest, largest = moments.minimum or 0.0, moments.maximum or 0.0
    return TargetFacts(labels.shape, kind, smallest, largest, moments.mean, moments.spread, count, entropy)


def _class_numbers(labels: NDArray[np.int64]) -> TargetFacts:
    valid = labels[labels >= 0]
    counts = np.bincount(valid) if valid.size else np.zeros(1)
    moments = moments_of(valid.astype(np.float64) if valid.size else np.zeros(1))
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    entropy = _entropy(counts / max(valid.size, 1))
    count = int((counts > 0).sum())
    return TargetFacts(labels.shape, "classes", low, high, moments.mean, moments.spread, count, entropy)


def _entropy(shares: Array) -> float:
    """−Σ p log p in nats."""
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())


def _float_kind(labels: Array, classes: int) -> Literal["multi_label", "one_hot", "binary", "probabilities", "values"]:
    wide = labels.ndim > 1 and labels.shape[classes] > 1
    if ((labels == 0) | (labels == 1)).all():
        if not wide:
            return "binary"
        return "one_hot" if (labels.sum(classes) == 1).all() else "multi_label"
    if wide and labels.min() >= 0 and (np.abs(labels.sum(classes) - 1) < 1e-4).all():
        return "probabilities"
    return "values"


def output_facts(
    graph: SignalGraph,
    shape: tuple[int, ...],
    units: int,
    moments: Moments,
    within: float | None,
    clipped: float | None = None,
) -> OutputFacts:
    """The first output.

    Args:
        graph: of the model; it has an output.
        shape: with the batch.
        units: size of the axis of ``class_axis``.
        moments: over all elements, with extremes.
        within: root mean square over examples of the standard deviation between units; None for a single unit.
        clipped: share of elements at the smallest or the largest value exactly.
    """
    node = graph.outputs[0]
    last = nearest_before(
        graph, node, lambda n: n.operation in (Operation.ACTIVATION, Operation.SOFTMAX), through=_OUTWARD
    )
    function = graph.nodes[last[0]].function if len(last) == 1 else ""
    return OutputFacts(
        node, shape, units, function, moments.minimum, moments.maximum, moments.mean, moments.spread, within, clipped
    )


def class_axis(output: tuple[int, ...], labels: tuple[int, ...] | None) -> int:
    """The axis of classes: the second one where the labels have the other axes (dense prediction), else the last.

    Args:
        output: shape of the output.
        labels: shape of the labels, where there are any.

    >>> class_axis((8, 21, 32, 32), (8, 32, 32)), class_axis((8, 50, 1000), (8, 50))
    (1, 2)
    """
    last = max(len(output) - 1, 0)
    if labels is None or len(output) <= 2 or len(labels) != len(output) - 1:
        return last
    return 1 if labels == (output[0], *output[2:]) and labels != output[:-1] else last
