"""Questions of the rules about the shape of a graph: what is normalised away, what goes around a zero."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from gainstage.graph import (
    Node,
    Operation,
    SignalGraph,
    Use,
    all_after,
    nearest_after,
    nearest_before,
    once_per_graph,
)
from gainstage.graph.groups import GATES, LEVEL_KEEPING, MULTIPLYING
from gainstage.records import Profile

__all__ = [
    "bypassed",
    "closed_nodes",
    "ends_in",
    "feeds_weights",
    "scale_invariant",
    "leads_on",
    "reads",
    "scores",
    "zero_nodes",
]

CLOSED = 1e-2  # a branch that starts below a hundredth of its level is meant to start closed
_TO_NORM = LEVEL_KEEPING | {Operation.ADD, Operation.CONCATENATION}
_FACTORS = frozenset({"weight", "scale", "operand"})


@once_per_graph("nodes")
def scale_invariant(graph: SignalGraph) -> frozenset[int]:
    """Nodes whose scale is divided out again: every way on meets a normalisation before anything that is not linear."""
    return all_after(graph, lambda node: node.operation is Operation.NORMALIZATION, through=_TO_NORM)


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


def live_zeros(profile: Profile) -> frozenset[int]:
    """Zero nodes whose zero parameter gets a gradient, so that the first step opens them.

    A zero factor is zero on purpose only while its partner lives: where both factors of a product are zero, neither
    gets a gradient, and neither ever moves.
    """
    graph = profile.graph

    def moves(use: Use) -> bool:
        measured = profile.by_path.get(graph.parameter(use.parameter).path)
        gradient = measured.gradient if measured is not None else None
        return gradient is None or gradient.second_moment > 0

    return frozenset(
        i for i in zero_nodes(profile) if any(moves(use) for use in graph.nodes[i].uses if use.slot in _FACTORS)
    )


def silent_nodes(profile: Profile, zeros: Container[int]) -> frozenset[int]:
    """Nodes whose output is exactly zero because what they read is, starting from the given zero nodes.

    A zero node with a bias that is not zero is not silent: the measured second moment decides.
    """
    found: set[int] = set()
    for node in profile.graph.nodes:
        measured = profile.by_node.get(node.index)
        if measured is not None and measured.forward.second_moment != 0:
            continue
        read = [i in found for i in node.inputs]
        product = node.operation in (Operation.MULTIPLY, Operation.MATMUL)
        keeps = node.operation in _KEEPS_SILENCE or (measured is not None and node.operation.weighted)
        if node.index in zeros or (product and any(read)) or (keeps and read and all(read)):
            found.add(node.index)
    return frozenset(found)


_KEEPS_SILENCE = (LEVEL_KEEPING | {Operation.ADD, Operation.CONCATENATION}) - {Operation.OFFSET}


def reaches_past(profile: Profile, zeros: frozenset[int]) -> frozenset[int]:
    """Nodes from which a gradient can reach the loss, past zero nodes and past products with a silent signal."""
    graph = profile.graph
    silent = silent_nodes(profile, zeros)
    goals = {graph.loss} if graph.loss is not None else set(graph.outputs)
    found: set[int] = set()
    for node in reversed(graph.nodes):
        if node.index in goals or any(
            r in found and r not in zeros and not _stopped(graph.nodes[r], node.index, silent)
            for r in graph.consumers[node.index]
        ):
            found.add(node.index)
    return frozenset(found)


def _stopped(product: Node, operand: int, silent: Container[int]) -> bool:
    """Whether the gradient by an operand of a product is zero, since the other operand is."""
    if product.operation not in (Operation.MULTIPLY, Operation.MATMUL):
        return False
    others = [i for i in product.inputs if i != operand]
    return bool(others) and all(i in silent for i in others)


def outweighed(profile: Profile) -> frozenset[int]:
    """Weighted nodes whose output is less than a hundredth of a bias that is added to it, and multiplies a signal.

    Such a gate starts at its bias on purpose: the signal passes it through the other factor.
    """
    graph = profile.graph
    return frozenset(
        node.index
        for node in graph.weighted()
        if (at := profile.by_node.get(node.index)) is not None
        and any(at.forward.rms < CLOSED * bias for bias in _biases_behind(profile, node))
        and nearest_after(graph, node.index, lambda n: n.operation in GATES, through=LEVEL_KEEPING)
    )


def _biases_behind(profile: Profile, node: Node) -> Iterator[float]:
    """Root mean squares of the parameters that are added to a node's output, up to shape."""
    behind = nearest_after(
        profile.graph, node.index, lambda n: n.operation is Operation.OFFSET, through={Operation.RESHAPE}
    )
    for offset in behind:
        for use in profile.graph.nodes[offset].uses:
            measured = profile.by_path.get(profile.graph.parameter(use.parameter).path)
            if measured is not None:
                yield measured.weight.rms


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


@once_per_graph("nodes")
def bypassed(graph: SignalGraph) -> frozenset[int]:
    """Nodes that a way from an input to the loss (to an output, where there is none) leads around.

    In the order of execution a node lies on every such way when no connection between nodes of such ways passes over
    it, and none of the ways begins behind it or ends before it.
    """
    goals = {graph.loss} if graph.loss is not None else set(graph.outputs)
    onward = leads_on(graph)
    farthest: dict[int, int] = {}  # of every node on such a way: the last one on such a way that reads it
    reached: set[int] = set()
    for node in graph.nodes:
        here = node.index
        if here in onward and (here in graph.inputs or here in reached):
            readers = [reader for reader in graph.consumers[here] if reader in onward]
            reached.update(readers)
            farthest[here] = max(readers, default=here)
    if not farthest:
        return frozenset()
    first, last = max(i for i in graph.inputs if i in farthest), min(goals & farthest.keys())
    passed, every = 0, set()
    for here, reader in farthest.items():
        if passed <= here and first <= here <= last:
            every.add(here)
        passed = max(passed, reader)
    return frozenset(range(len(graph.nodes))) - every


@once_per_graph("nodes")
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
