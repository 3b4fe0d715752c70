"""What is known of the task, as facts without tensors: inputs, labels, output, loss."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

from gainstage.backends.torch.batch import Batch
from gainstage.backends.torch.moments import moments_of
from gainstage.backends.torch.observe import Observation
from gainstage.graph import Operation, SignalGraph, nearest_after, nearest_before
from gainstage.records import InputFacts, LossFacts, LossKind, OptimizerFacts, OutputFacts, TargetFacts, Task

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
        loss = _loss(graph, loss_value, output, labels, described)
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
        entropy = float(-(shares * shares.log()).sum())
        moments = moments_of(valid.double()) if valid.numel() else moments_of(torch.zeros(1))
        low, high = (int(v) for v in torch.aminmax(labels.long())) if labels.numel() else (0, 0)
        return TargetFacts(shape, "classes", low, high, moments.mean, moments.spread, int((counts > 0).sum()), entropy)
    moments = moments_of(labels, extremes=True)
    kind = _float_kind(labels)
    prior = _binary_entropy(moments.mean) if kind in ("binary", "multi_label") else None
    smallest, largest = moments.minimum or 0.0, moments.maximum or 0.0
    return TargetFacts(shape, kind, smallest, largest, moments.mean, moments.spread, None, prior)


def _float_kind(labels: torch.Tensor) -> Literal["multi_label", "one_hot", "binary", "probabilities", "values"]:
    wide = labels.dim() > 1 and labels.shape[1] > 1
    if bool(((labels == 0) | (labels == 1)).all()):
        if not wide:
            return "binary"
        return "one_hot" if bool((labels.sum(1) == 1).all()) else "multi_label"
    if wide and float(labels.min()) >= 0 and bool(((labels.sum(1) - 1).abs() < 1e-4).all()):
        return "probabilities"
    return "values"


def _binary_entropy(mean: float) -> float:
    return -sum(p * math.log(p) for p in (mean, 1 - mean) if 0 < p < 1)


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


def _loss(
    graph: SignalGraph,
    value: float,
    output: OutputFacts | None,
    labels: torch.Tensor | None,
    target: TargetFacts | None,
) -> LossFacts:
    kind, inner, mean_reduced = _recognise(graph, output)
    units = output.units if output is not None else 1
    uniform = math.log(units) if kind in ("cross_entropy", "nll", "probability_nll") and units > 1 else None
    if kind in ("bce", "bce_logits"):
        uniform = math.log(2)
    return LossFacts(kind, value, graph.loss, inner, _chance(kind, labels, target), uniform, mean_reduced)


def _recognise(graph: SignalGraph, output: OutputFacts | None) -> tuple[LossKind, str, bool]:
    """Which loss it is, what it does to the output first, and whether it is a mean over examples."""
    if graph.loss is None or output is None:
        return "other", "", True
    after = [n for n in graph.nodes if n.index > output.node and (n.stage == "loss" or n.operation is Operation.LOSS)]
    own = (
        [n for n in graph.nodes if n.index > output.node] if not any(n.stage == "loss" for n in graph.nodes) else after
    )
    functions = [n.function for n in own if n.operation in (Operation.SOFTMAX, Operation.ACTIVATION)]
    inner = next((f for f in functions if f), "")
    losses = [n for n in own if n.operation is Operation.LOSS]
    if losses:
        mean = all(dict(n.settings).get("reduction", 1.0) != 2.0 for n in losses)
        kinds = {n.function for n in losses}
        if kinds == {"nll"}:
            if inner == "log":
                return "probability_nll", inner, mean
            return ("cross_entropy" if inner == "log_softmax" else "nll"), inner, mean
        if len(kinds) == 1:
            kind = kinds.pop()
            known: tuple[LossKind, ...] = ("bce", "bce_logits", "mse", "l1", "huber", "kl")
            return next((k for k in known if k == kind), "other"), inner, mean
        return "other", inner, mean
    mean = any(n.operation is Operation.REDUCTION and n.name == "mean" for n in own)
    if "log_softmax" in functions:
        return "cross_entropy", inner, mean
    if "log" in functions and "softmax" not in functions:
        return "probability_nll", inner, mean
    if inner in ("pow", "square") and not {"log", "exp"} & set(functions):
        return "mse", "", mean
    if inner == "abs":
        return "l1", "", mean
    return "other", inner, mean


def _chance(kind: LossKind, labels: torch.Tensor | None, target: TargetFacts | None) -> float | None:
    """The loss of the best constant guess on these labels."""
    if labels is None or target is None:
        return None
    if kind in ("cross_entropy", "nll", "probability_nll", "bce", "bce_logits"):
        return target.entropy
    if kind in ("mse", "l1") and labels.is_floating_point() and labels.dim():
        values = labels.float()
        centred = values - (values.mean(0) if kind == "mse" else values.median(0).values)
        return float(centred.square().mean() if kind == "mse" else centred.abs().mean())
    return None
