"""Questions of the rules about the shape of a graph: what is normalised away, what goes around a zero."""

from __future__ import annotations

from collections.abc import Container, Iterable

from gainstage.graph import Node, Operation, SignalGraph, Use, nearest_after, nearest_before
from gainstage.graph.groups import GATES, LEVEL_KEEPING, MULTIPLYING
from gainstage.records import Profile

__all__ = [
    "closed_nodes",
    "ends_in",
    "feeds_weights",
    "forgiven",
    "leads_on",
    "reads",
    "scores",
    "zero_nodes",
]

CLOSED = 1e-2  # a branch that starts below a hundredth of its level is meant to start closed
_TO_NORM = LEVEL_KEEPING | {Operation.ADD, Operation.CONCATENATION}
_FACTORS = frozenset({"weight", "scale", "operand"})


def forgiven(graph: SignalGraph) -> frozenset[int]:
    """Nodes whose scale is divided out again: every way on meets a normalisation before anything that is not linear."""
    found: set[int] = set()
    for node in reversed(graph.nodes):
        readers = [graph.nodes[i] for i in graph.consumers[node.index]]
        if readers and all(
            r.operation is Operation.NORMALIZATION or (r.operation in _TO_NORM and r.index in found) for r in readers
        ):
            found.add(node.index)
    return frozenset(found)


def zero_nodes(profile: Profile) -> frozenset[int]:
    """Nodes whose output, but for a bias, is zero because their weight or scale is."""
    return _multiplied_by(profile, 0.0)


def closed_nodes(profile: Profile) -> frozenset[int]:
    """Zero nodes, and those whose scale is so small that they pass next to nothing (a layer scale of 1e-6)."""
    small = _multiplied_by(profile, CLOSED)
    return zero_nodes(profile) | frozenset(i for i in small if profile.graph.nodes[i].operation in MULTIPLYING)


def _multiplied_by(profile: Profile, most: float) -> frozenset[int]:
    zeros = {p.path for p in profile.parameters if p.weight.count and p.weight.rms <= most}
    graph = profile.graph

    def is_zero(use: Use) -> bool:
        known = graph.parameter(use.parameter).path in zeros
        return use.slot in _FACTORS and known and all(step.keeps_zero for step in use.derivation)

    return frozenset(
        node.index
        for node in graph.nodes
        if (node.operation.weighted or node.operation in MULTIPLYING) and any(is_zero(use) for use in node.uses)
    )


def ends_in(graph: SignalGraph, starts: Iterable[int], avoiding: Container[int] = ()) -> bool:
    """Whether a way leads from any of the nodes to the loss (to an output, where there is none) past the avoided."""
    open_ = leads_on(graph, avoiding)
    return any(start in open_ for start in starts)


def leads_on(graph: SignalGraph, avoiding: Container[int] = ()) -> frozenset[int]:
    """The nodes from which a way leads to the loss (to an output, where there is none) past the avoided ones."""
    goals = {graph.loss} if graph.loss is not None else set(graph.outputs)
    found: set[int] = set()
    for node in reversed(graph.nodes):
        if node.index in goals or any(r in found and r not in avoiding for r in graph.consumers[node.index]):
            found.add(node.index)
    return frozenset(found)


def scores(graph: SignalGraph) -> frozenset[int]:
    """Softmaxes and attentions that weight another signal: what they read only counts up to a common shift."""
    mixing = GATES - {Operation.ATTENTION}
    return frozenset(
        node.index
        for node in graph.nodes
        if node.operation is Operation.SOFTMAX
        and nearest_after(graph, node.index, lambda n: n.operation in mixing, through=LEVEL_KEEPING)
    )


def reads(graph: SignalGraph, node: Node) -> Node | None:
    """The activation, normalisation, weight or sum whose output a node works on; None at the input."""
    found = nearest_before(
        graph, node.inputs[0], lambda n: n.operation not in LEVEL_KEEPING, through=LEVEL_KEEPING
    ) if node.inputs else ()  # fmt: skip
    return graph.nodes[found[0]] if found else None


def feeds_weights(graph: SignalGraph, node: Node) -> bool:
    """Whether a weight reads a node's output, up to a factor or a normalisation."""
    found = nearest_after(
        graph,
        node.index,
        lambda n: n.operation.weighted or n.operation in GATES,
        through=LEVEL_KEEPING | {Operation.NORMALIZATION},
    )
    return bool(found) and all(graph.nodes[i].operation.weighted for i in found)
