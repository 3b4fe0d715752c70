"""The gradient at the output: that of the loss, or random signs where there is no loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gainstage.graph import Node, Operation, SignalGraph
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.function import Function
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import FunctionOf, Signal
from gainstage.records import LossFacts, LossKind
from gainstage.theory.activations import activation
from gainstage.theory.attention.moments import attention_concentration
from gainstage.theory.attention.softmax import log_softmax_moments

__all__ = ["Objective", "objective"]

_STEEPEST = 1e4


@dataclass(frozen=True, slots=True)
class Objective:
    """The gradient at the output and the facts of the loss.

    Args:
        start: second moments of the gradient at the node that the loss reads.
        facts: the loss; None where random signs replace it.
        doubt: what could not be determined about the loss.
    """

    start: SecondMoments
    facts: LossFacts | None = None
    doubt: str = ""


def objective(run: ForwardPass, output: int) -> Objective:
    """Return the loss of a graph, for labels that are uniformly distributed.

    Args:
        run: the forward pass.
        output: index of the node that the loss reads.
    """
    graph, signal = run.graph, run.signals[output]
    signs = SecondMoments(1 / run.examples**2)
    if graph.loss is None:
        return Objective(signs)
    kind = _kind(graph)
    rows = signal.extent.examples * signal.extent.positions
    classes = signal.extent.units
    match kind:
        case "cross_entropy" | "nll" if classes > 1:
            return _cross_entropy(signal, classes, rows, graph.loss, kind)
        case "bce_logits":
            return _binary(run, signal, graph.loss)
        case "probability_nll":  # -1/p at the label's place, p near 1/C
            level = classes / rows**2
            facts = LossFacts("probability_nll", math.log(classes), graph.loss, "log", math.log(classes),
                              math.log(classes))  # fmt: skip
            return Objective(SecondMoments(level), facts)
        case "bce":  # (p - y) / p (1 - p), p near 1/2
            facts = LossFacts("bce", math.log(2), graph.loss, "", math.log(2), math.log(2))
            return Objective(SecondMoments(4 / signal.extent.count**2), facts)
        case "mse":
            targets = 1.0  # regression targets count as standardized
            level = 4 * (signal.pairs.level + targets) / signal.extent.count**2
            value = signal.pairs.level + targets
            pairs = signal.pairs.scaled(4 / signal.extent.count**2)
            facts = LossFacts("mse", value, graph.loss, chance=targets)
            return Objective(SecondMoments(level, pairs.units, pairs.positions, pairs.examples), facts)
    doubt = f"no rule for this loss ({kind}); random signs stand in for its gradient"
    return Objective(signs, None, doubt)


def _kind(graph: SignalGraph) -> LossKind:
    own = [n for n in graph.nodes if n.stage == "loss" or n.operation is Operation.LOSS]
    with_own_cause = {n.function for n in own if n.operation is Operation.LOSS}
    softmax = _has(own, "log_softmax") or _has(graph.nodes, "log_softmax")
    if with_own_cause == {"nll"}:
        if any(n.function == "log" for n in own):
            return "probability_nll"
        return "cross_entropy" if softmax else "nll"
    known: tuple[LossKind, ...] = ("cross_entropy", "bce_logits", "bce", "mse", "probability_nll")
    return next(
        (kind for kind in known if with_own_cause == {kind}),
        "cross_entropy" if not with_own_cause and softmax else "other",
    )


def _has(nodes: tuple[Node, ...] | list[Node], function: str) -> bool:
    return any(n.operation is Operation.SOFTMAX and n.function == function for n in nodes)


def _cross_entropy(signal: Signal, classes: int, rows: int, loss: int, kind: LossKind) -> Objective:
    """Return the gradient p - y: E (p - y)² = E p² - 1/C² + (1/C - 1/C²) for uniform labels."""
    variance = min(max(signal.pairs.level - signal.pairs.units, 0.0), _STEEPEST)
    shares = attention_concentration(variance, classes) / classes
    own = max(shares - 1 / classes**2, 0.0)
    level = (own + 1 / classes - 1 / classes**2) / rows**2
    alike = signal.pairs.positions / signal.pairs.level if signal.pairs.level > 0 else 0.0
    same = signal.pairs.examples / signal.pairs.level if signal.pairs.level > 0 else 0.0
    start = SecondMoments(level, -level / (classes - 1), own * alike / rows**2, own * same / rows**2)
    value = -log_softmax_moments(variance, classes).mean
    facts = LossFacts("cross_entropy" if kind == "nll" else kind, value, loss, "log_softmax", math.log(classes),
                      math.log(classes))  # fmt: skip
    return Objective(start, facts)


def _binary(run: ForwardPass, signal: Signal, loss: int) -> Objective:
    """Return the gradient σ(z) - y for labels 0 and 1 with equal probability."""
    undivided = run.algebra.without_parts(signal)
    assert undivided.dependence is not None
    sigmoid = run.algebra.expectation(
        FunctionOf(undivided.dependence.source, _SIGMOID.after(undivided.dependence.function))
    )
    softplus = run.algebra.expectation(
        FunctionOf(undivided.dependence.source, _SOFTPLUS.after(undivided.dependence.function))
    )
    count = signal.extent.count
    own = max(sigmoid.second - sigmoid.mean + 0.25, 0.0)
    level = (own + 0.25) / count**2
    same = signal.pairs.examples / signal.pairs.level if signal.pairs.level > 0 else 0.0
    value = softplus.mean - 0.5 * undivided.mean
    facts = LossFacts("bce_logits", value, loss, "sigmoid", math.log(2), math.log(2))
    return Objective(SecondMoments(level, 0.0, 0.0, own * same / count**2), facts)


_SIGMOID, _SOFTPLUS = Function.of(activation("sigmoid")), Function.of(activation("softplus"))
