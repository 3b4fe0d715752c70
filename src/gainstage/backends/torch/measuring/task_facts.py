"""What is known of the task, as facts without tensors: inputs, labels, output, loss."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

from gainstage.backends.torch.measuring.losses import binary_entropy, loss_facts
from gainstage.backends.torch.measuring.moments import moments_of
from gainstage.backends.torch.models.batch import Batch
from gainstage.backends.torch.tracing.traced_run import Observation
from gainstage.graph import Operation, SignalGraph, nearest_after, nearest_before
from gainstage.records import InputFacts, OptimizerFacts, OutputFacts, TargetFacts, Task

__all__ = ["labels_of", "task_of"]

_OUTWARD = frozenset({Operation.RESHAPE, Operation.DROPOUT, Operation.REDUCTION, Operation.POOLING, Operation.SCALE})
_INWARD = frozenset(Operation) - {Operation.LINEAR, Operation.CONVOLUTION, Operation.RECURRENT, Operation.NORMALIZATION}


def task_of(
    batch: Batch,
    seen: Observation,
    target: Any,
    loss_value: float | None,
    optimizer: torch.optim.Optimizer | None,
    *,
    training: bool,
    synthetic: bool,
) -> Task:
    """All facts about one observation."""
    graph = seen.graph
    inputs = tuple(
        _input(tensor, node, graph, synthetic)
        for (name, tensor), node in zip(batch.tensors, graph.inputs, strict=True)
        if name not in batch.masks
    )
    labels = labels_of(batch, target, seen.own_loss)
    output = _output(seen, labels)
    described = _target(labels) if labels is not None else None
    loss = None
    if loss_value is not None:
        loss = loss_facts(graph, loss_value, output, labels, described)
    rates = (
        OptimizerFacts(type(optimizer).__name__, tuple(float(g.get("lr", math.nan)) for g in optimizer.param_groups))
        if optimizer is not None
        else None
    )
    return Task(inputs, described, output, loss, rates, batch.examples, training)


def labels_of(batch: Batch, target: Any, own_loss: bool) -> torch.Tensor | None:
    """The labels: those that were passed, or those among the inputs of a model that computes its own loss."""
    if isinstance(target, torch.Tensor):
        return target.detach()
    if own_loss:
        for name in ("labels", "label", "targets", "target", "next_sentence_label", "start_positions"):
            found = batch.kwargs.get(name)
            if isinstance(found, torch.Tensor):
                return found.detach()
    return None


def _input(tensor: torch.Tensor, node: int, graph: SignalGraph, synthetic: bool) -> InputFacts:
    shape = tuple(tensor.shape)
    if not tensor.is_floating_point():
        return InputFacts(shape, "tokens", synthetic)
    values = tensor.detach().float()
    kind: Literal["image", "values"] = "image" if tensor.dim() >= 4 else "values"
    moments = moments_of(values, extremes=True)
    first = nearest_after(
        graph, node, lambda n: n.operation.weighted or n.operation is Operation.NORMALIZATION, through=_INWARD
    )
    normalised = bool(first) and all(graph.nodes[i].operation is Operation.NORMALIZATION for i in first)
    features = _by_feature(values, kind)
    spreads = features.std(1, unbiased=False) if features.shape[1] > 1 else torch.zeros(len(features))
    means = features.mean(1)
    varying = spreads[spreads > 1e-7 * (means.abs() + 1e-30)]
    feature_spread = (
        (float(varying.min()), float(varying.median()), float(varying.max()))
        if varying.numel() and moments.finite
        else None
    )
    return InputFacts(
        shape,
        kind,
        synthetic,
        moments.mean,
        moments.spread,
        moments.minimum,
        moments.maximum,
        feature_spread,
        (float(means.min()), float(means.max())),
        int(len(features) - varying.numel()),
        len(features),
        moments.nonfinite,
        normalised,
    )


def _by_feature(values: torch.Tensor, kind: str) -> torch.Tensor:
    """One feature a row: channels of images, columns of everything else."""
    if values.dim() == 0:
        return values.reshape(1, 1)
    if values.dim() == 1:
        return values.reshape(1, -1)
    axis = 1 if kind == "image" else values.dim() - 1
    return values.movedim(axis, 0).reshape(values.shape[axis], -1)


def _target(labels: torch.Tensor) -> TargetFacts:
    shape = tuple(labels.shape)
    if not labels.is_floating_point():
        valid = labels[labels >= 0] if labels.dtype != torch.bool else labels.long()
        counts = torch.bincount(valid.reshape(-1).cpu()) if valid.numel() else torch.zeros(1)
        shares = counts[counts > 0].double() / max(valid.numel(), 1)
        frequencies = float(-(shares * shares.log()).sum())
        moments = moments_of(valid.double()) if valid.numel() else moments_of(torch.zeros(1))
        low, high = (int(v) for v in torch.aminmax(labels.long())) if labels.numel() else (0, 0)
        return TargetFacts(
            shape, "classes", low, high, moments.mean, moments.spread, int((counts > 0).sum()), frequencies
        )
    moments = moments_of(labels, extremes=True)
    kind = _float_kind(labels)
    entropy: float | None = None
    classes: int | None = None
    if kind in ("binary", "multi_label"):
        entropy = binary_entropy(moments.mean)
    elif kind in ("one_hot", "probabilities"):
        shares = labels.double().movedim(1, -1).reshape(-1, labels.shape[1]).mean(0)
        entropy, classes = float(torch.special.entr(shares).sum()), int((shares > 0).sum())
    smallest, largest = moments.minimum or 0.0, moments.maximum or 0.0
    return TargetFacts(shape, kind, smallest, largest, moments.mean, moments.spread, classes, entropy)


def _float_kind(labels: torch.Tensor) -> Literal["multi_label", "one_hot", "binary", "probabilities", "values"]:
    wide = labels.dim() > 1 and labels.shape[1] > 1
    if bool(((labels == 0) | (labels == 1)).all()):
        if not wide:
            return "binary"
        return "one_hot" if bool((labels.sum(1) == 1).all()) else "multi_label"
    if wide and float(labels.min()) >= 0 and bool(((labels.sum(1) - 1).abs() < 1e-4).all()):
        return "probabilities"
    return "values"


def _output(seen: Observation, labels: torch.Tensor | None) -> OutputFacts | None:
    graph, tensor = seen.graph, seen.output.detach()
    if not graph.outputs or not tensor.is_floating_point():
        return None
    node = graph.outputs[0]
    last = nearest_before(
        graph, node, lambda n: n.operation in (Operation.ACTIVATION, Operation.SOFTMAX), through=_OUTWARD
    )
    axis = _class_axis(tensor, labels)
    values = tensor.float()
    moments = moments_of(values, extremes=True)
    units = tensor.shape[axis] if tensor.dim() else 1
    within = float(values.var(axis, unbiased=False).mean().sqrt()) if units > 1 else None
    return OutputFacts(
        node,
        tuple(tensor.shape),
        units,
        graph.nodes[last[0]].function if len(last) == 1 else "",
        moments.minimum,
        moments.maximum,
        moments.mean,
        moments.spread,
        within,
    )


def _class_axis(output: torch.Tensor, labels: torch.Tensor | None) -> int:
    """The axis of classes: the second one where the labels have the other axes (dense prediction), else the last."""
    if labels is None or output.dim() <= 2 or labels.dim() != output.dim() - 1:
        return max(output.dim() - 1, 0)
    if labels.shape == (output.shape[0], *output.shape[2:]) and labels.shape != output.shape[:-1]:
        return 1
    return max(output.dim() - 1, 0)
