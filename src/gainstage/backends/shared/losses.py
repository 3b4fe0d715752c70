"""Which loss was computed, recognised from the operations it ran, and what a constant guess reaches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.graph import Node, Operation, SignalGraph
from gainstage.records import LossFacts, LossKind, OutputFacts, TargetFacts

__all__ = ["binary_entropy", "chance_of", "loss_facts", "uniform_of"]

Array = NDArray[Any]

_NAMED: tuple[LossKind, ...] = ("bce", "bce_logits", "mse", "l1", "huber", "kl", "cross_entropy", "probability_nll")
_BY_UNIT: tuple[LossKind, ...] = ("bce", "bce_logits", "mse", "l1", "huber", "kl")
_LIKELIHOODS: tuple[LossKind, ...] = ("cross_entropy", "nll", "probability_nll")
_DISTRIBUTIONS = ("one_hot", "probabilities")


def loss_facts(
    graph: SignalGraph, value: float, output: OutputFacts | None, labels: Array | None, target: TargetFacts | None
) -> LossFacts:
    """The loss as facts, recognised from the operations it ran."""
    if graph.loss is None or output is None:
        return LossFacts("other", value, graph.loss)
    own = _own(graph, output)
    kind, inner = _recognise(own, output, target)
    chance, uniform = chance_of(kind, labels, target), uniform_of(kind, output.units)
    if chance is not None and kind in _BY_UNIT and any(_sums_outputs(n) for n in own):
        chance *= output.units
        uniform = None if uniform is None else uniform * output.units
    return LossFacts(kind, value, graph.loss, inner, chance, uniform, _is_mean(own), _is_alone(graph, own, output))


def uniform_of(kind: LossKind, units: int) -> float | None:
    """The loss at equal probabilities of all classes, in nats; None where the loss has no classes."""
    if kind in _LIKELIHOODS and units > 1:
        return math.log(units)
    return math.log(2) if kind in ("bce", "bce_logits") else None


def _own(graph: SignalGraph, output: OutputFacts) -> list[Node]:
    """The nodes of the loss: those after the output, or after it in a model that computes its own."""
    after = [n for n in graph.nodes if n.index > output.node and n.part_of is None]
    staged = [n for n in after if n.stage == "loss" or n.operation is Operation.LOSS]
    return staged if any(n.stage == "loss" for n in graph.nodes) else after


def _recognise(own: Sequence[Node], output: OutputFacts, target: TargetFacts | None) -> tuple[LossKind, str]:
    """Which loss it is, and what it does to the output first."""
    functions = [n.function for n in own if n.operation in (Operation.SOFTMAX, Operation.ACTIVATION) and n.function]
    inner = functions[0] if functions else ""
    named = {n.function for n in own if n.operation is Operation.LOSS}
    if named == {"nll"}:
        if "log" in functions:
            return ("cross_entropy", inner) if "softmax" in functions else ("probability_nll", "log")
        return ("cross_entropy" if "log_softmax" in functions else "nll"), inner
    if named:
        known = next((k for k in _NAMED if named == {k}), None)
        inner = "log_softmax" if known == "cross_entropy" else inner
        return ("other" if known is None or "sqrt" in functions else known), inner
    kind = _by_hand(own, functions, output, target)
    if kind in ("mse", "l1"):  # its own square or absolute value
        return kind, ""
    return kind, "log" if kind == "probability_nll" else inner


def _by_hand(
    own: Sequence[Node], functions: Sequence[str], output: OutputFacts, target: TargetFacts | None
) -> LossKind:
    """A loss written out in elementary operations."""
    if "log_softmax" in functions or any(n.name == "logsumexp" for n in own):
        return "cross_entropy"
    if "log" in functions and _logs_probabilities(own):
        both_sides = functions.count("log") > 1  # of t log p + (1 − t) log(1 − p)
        if "softmax" in functions:
            return "cross_entropy"
        if "sigmoid" in functions:
            return "bce_logits"
        if both_sides:
            return "bce"
        # Of counts and sizes, the logarithm is that of a rate or a scale.
        return "other" if target is not None and target.kind == "values" else "probability_nll"
    kind = target.kind if target is not None else ""
    if {"logsigmoid", "softplus"} & set(functions) and kind in ("binary", "multi_label"):
        return "bce_logits"
    if functions and functions[0] in ("pow", "square") and not {"exp", "sqrt"} & set(functions):
        return "mse"
    if functions and functions[0] == "abs":
        return "l1"
    if not functions and kind in _DISTRIBUTIONS and output.function == "log_softmax":  # Σ t (log t − log p)
        return "kl" if any(n.operation is Operation.OFFSET for n in own) else "nll"
    return "other"


def _logs_probabilities(own: Sequence[Node]) -> bool:
    """Report whether a logarithm is taken of the output, of its sigmoid or of its softmax.

    The logarithm of a softplus, a square or an exponential of the output is that of a variance or a rate.
    """
    inside = {node.index: node for node in own}

    def meets_other(node: Node) -> bool:
        while node.inputs and (before := inside.get(node.inputs[0])) is not None:
            if before.operation is Operation.ACTIVATION and before.function not in _KEEP_PROBABILITIES:
                return True
            node = before
        return False

    return any(node.function == "log" and not meets_other(node) for node in own)


_KEEP_PROBABILITIES = frozenset({"clamp", "sigmoid", "softmax", "log_softmax", "log"})


def _is_mean(own: Sequence[Node]) -> bool:
    """Whether examples are averaged: no sum over everything, unless what comes out of it is divided."""
    summed = [n.index for n in own if _sums_everything(n)]
    return not summed or any(n.name == "div" and n.index > summed[0] and not n.shape for n in own)


def _is_alone(graph: SignalGraph, own: Sequence[Node], output: OutputFacts) -> bool:
    """Whether all that the loss reads of the model is the output."""
    inside = {node.index for node in own} | {output.node}
    return not any(graph.nodes[i].from_input for node in own for i in node.inputs if i not in inside)


def _sums_everything(node: Node) -> bool:
    if node.operation is Operation.LOSS:
        return dict(node.settings).get("reduction") == 2.0
    return node.operation is Operation.REDUCTION and node.name == "sum" and not node.shape


def _sums_outputs(node: Node) -> bool:
    return node.operation is Operation.REDUCTION and node.name == "sum" and len(node.shape) > 0


def chance_of(kind: LossKind, labels: Array | None, target: TargetFacts | None) -> float | None:
    """The loss of the best constant guess on these labels; None where it is not defined."""
    if labels is None or target is None:
        return None
    if kind in _LIKELIHOODS:
        return target.entropy if target.kind not in ("binary", "multi_label", "values") else None
    if not labels.ndim:
        return None
    rows = labels.reshape(len(labels), -1).astype(np.float64)
    if kind in ("bce", "bce_logits"):
        if rows.min() < 0 or rows.max() > 1:
            return None
        shares = rows.mean(0)
        return sum(binary_entropy(p) for p in shares.tolist()) / len(shares)
    if kind in ("mse", "l1"):
        centred = rows - (rows.mean(0) if kind == "mse" else np.median(rows, 0))
        return float(np.square(centred).mean() if kind == "mse" else np.abs(centred).mean())
    return None


def binary_entropy(mean: float) -> float:
    """Entropy of one binary label in nats.

    >>> round(binary_entropy(0.5), 4), binary_entropy(1.0)
    (0.6931, 0)
    """
    return -sum(p * math.log(p) for p in (mean, 1 - mean) if 0 < p < 1)
