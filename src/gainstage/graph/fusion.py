"""Recognise what was written out by hand: x · rsqrt(mean x²) is a normalisation, x · (1 + tanh(…)) an activation."""

from __future__ import annotations

from dataclasses import replace

from gainstage.graph.operation import Operation
from gainstage.graph.signal import Node, SignalGraph
from gainstage.graph.walk import ancestors, nearest_common_ancestor

__all__ = ["fuse"]

_ELEMENTWISE = frozenset(
    {
        Operation.ACTIVATION,
        Operation.OFFSET,
        Operation.SCALE,
        Operation.MULTIPLY,
        Operation.ADD,
        Operation.RESHAPE,
        Operation.REDUCTION,
        Operation.NORMALIZATION,
    }
)
_LONGEST = 16  # nodes; no normalisation or activation in use is written in more


def fuse(graph: SignalGraph) -> SignalGraph:
    """The same graph with hand-written normalisations, softmaxes and activations named as what they are.

    The factors of a product that are both functions of one node alone, without a weight, form one function of that
    node: a normalisation if a mean, sum or norm over units takes part, a softmax if that is a sum of exponentials, and
    otherwise an activation.
    """
    sets = ancestors(graph)
    nodes = list(graph.nodes)
    for node in graph.nodes:
        if node.operation is Operation.MULTIPLY and node.stage == "model" and not node.uses:
            nodes[node.index] = _fused(graph, sets, node)
    return replace(graph, nodes=tuple(nodes))


def _fused(graph: SignalGraph, sets: tuple[int, ...], node: Node) -> Node:
    first, second = node.inputs[0], node.inputs[-1]
    base = nearest_common_ancestor(sets, first, second)
    if base is None:
        return node
    between = _members((sets[first] | sets[second]) & ~sets[base])
    if between is None:
        return node
    steps = [graph.nodes[i] for i in between]
    inside = {base, *between}
    if any(s.operation not in _ELEMENTWISE or s.uses or not inside.issuperset(s.inputs) for s in steps):
        return node
    if any(s.operation is Operation.REDUCTION for s in steps):
        if graph.nodes[base].function == "exp":
            return replace(node, operation=Operation.SOFTMAX, function="softmax", inputs=(base,))
        centred = any(s.name in ("sub", "var", "std", "var_mean") for s in steps)
        function = "layer_norm" if centred or graph.nodes[base].name == "sub" else "rms_norm"
        return replace(node, operation=Operation.NORMALIZATION, function=function)
    return replace(node, operation=Operation.ACTIVATION, function="composite" if steps else "square")


def _members(bits: int) -> list[int] | None:
    """The members of a small bit set; None if it is too large to be one function."""
    if bits.bit_count() > _LONGEST:
        return None
    members = []
    while bits:
        low = bits & -bits
        members.append(low.bit_length() - 1)
        bits ^= low
    return members
