"""Questions of the rules about the shape of a graph: what is normalised away, what goes around a zero."""

from __future__ import annotations

from collections.abc import Container

from gainstage.graph import Node, Operation, Role, SignalGraph, Use, nearest_after, nearest_before
from gainstage.records import Profile

__all__ = ["CARRIERS", "activation_after", "ends_in", "forgiven", "goes_around", "is_head", "reads", "zero_nodes"]

CARRIERS = frozenset(
    {
        Operation.RESHAPE,
        Operation.DROPOUT,
        Operation.POOLING,
        Operation.RESAMPLE,
        Operation.REDUCTION,
        Operation.OFFSET,
        Operation.SCALE,
        Operation.MASK,
    }
)
"""Operations that hand a signal on as it is, up to a factor."""

_TO_NORM = CARRIERS | {Operation.ADD, Operation.CONCATENATION}
# A function of a parameter that is zero where the parameter is.
_KEEPS_ZERO = frozenset(
    "t transpose permute view reshape expand unsqueeze squeeze clone contiguous _to_copy to alias detach mul div neg "
    "tanh slice select split unbind flatten".split()
)
_MULTIPLYING = frozenset({"weight", "scale", "operand"})


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
    zeros = {p.path for p in profile.parameters if p.weight.count and p.weight.second_moment == 0}
    graph = profile.graph

    def is_zero(use: Use) -> bool:
        known = graph.parameter(use.parameter).path in zeros
        return use.slot in _MULTIPLYING and known and _KEEPS_ZERO.issuperset(use.derivation)

    multiplied = frozenset({Operation.NORMALIZATION, Operation.SCALE, Operation.MULTIPLY})
    return frozenset(
        node.index
        for node in graph.nodes
        if (node.operation.weighted or node.operation in multiplied) and any(is_zero(use) for use in node.uses)
    )


def goes_around(graph: SignalGraph, zeros: Container[int]) -> bool:
    """Whether the input still reaches the output when nothing passes the given nodes."""
    return bool(ends_in(graph, graph.inputs, zeros))


def ends_in(graph: SignalGraph, starts: tuple[int, ...], avoiding: Container[int] = ()) -> bool:
    """Whether a way leads from any of the nodes to the loss (to an output, where there is none) past the avoided."""
    goals = {graph.loss} if graph.loss is not None else set(graph.outputs)
    pending, seen = list(starts), set(starts)
    while pending:
        index = pending.pop()
        if index in goals:
            return True
        for reader in graph.consumers[index]:
            if reader not in seen and reader not in avoiding:
                seen.add(reader)
                pending.append(reader)
    return False


def reads(graph: SignalGraph, node: Node) -> Node | None:
    """The activation, normalisation, weight or sum whose output a node works on; None at the input."""
    found = nearest_before(
        graph, node.inputs[0], lambda n: n.operation not in CARRIERS, through=CARRIERS
    ) if node.inputs else ()  # fmt: skip
    return graph.nodes[found[0]] if found else None


def activation_after(graph: SignalGraph, node: Node) -> Node | None:
    """The activation that reads a node's output first."""
    through = CARRIERS | {Operation.NORMALIZATION}
    found = nearest_after(graph, node.index, lambda n: n.operation is Operation.ACTIVATION, through=through)
    return graph.nodes[found[0]] if found else None


def is_head(graph: SignalGraph, node: Node) -> bool:
    """Whether a node's weight makes the model's output."""
    return any(graph.parameter(use.parameter).role is Role.HEAD for use in node.uses_of("weight"))
