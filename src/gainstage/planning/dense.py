"""Dense streams: layers whose outputs are set beside what they read (DenseNet, a U-Net's skips).

A concatenated stream grows like a residual one. Whoever reads it sees S = Σ width · level of all its parts, and a part
that adds s to S sends back to everything before it a gradient that raises theirs by the factor 1 + s/S. Over the whole
stream these factors multiply to S at its end over S at its start. So what the parts bring together is the budget of
the gradient's growth, as it is on a residual stream. There a branch that is not loud is not heard, since it is added;
here every reader has weights of its own for every part, so the parts may bring less: half of what the stream began with
lets a gradient grow by √1.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gainstage.graph import Node, Operation, SignalGraph, ancestry, nearest_before, once_per_graph
from gainstage.graph.groups import SHIFTING

__all__ = ["TOGETHER", "DenseStream", "dense_streams"]

TOGETHER = 0.5
"""What all parts of a dense stream bring, over what it began with."""


@dataclass(frozen=True, slots=True)
class DenseStream:
    """What one signal gathers beside it.

    Args:
        start: the node whose output is carried on.
        width: how many units that has.
        parts: the nodes whose outputs are set beside it and that depend on it, with how many units each of them has.
        ends: for parts that are a weight's output as it is, the weighted node.
    """

    start: int
    width: int
    parts: Mapping[int, int]
    ends: Mapping[int, int]

    @property
    def share(self) -> float:
        """The level of each part, over that of the start, at which all of them bring their budget together."""
        return min(1.0, TOGETHER * self.width / sum(self.parts.values()))


@once_per_graph("nodes")
def dense_streams(graph: SignalGraph) -> tuple[DenseStream, ...]:
    """All dense streams, in order of execution.

    Parts that stand side by side, none of which depends on another (Inception), are none.

    >>> from gainstage.graph import KernelShape
    >>> nodes = (
    ...     Node(0, Operation.INPUT, "input", (), (8, 16), unit_axis=1),
    ...     Node(1, Operation.LINEAR, "linear", (0,), (8, 4), unit_axis=1, kernel=KernelShape(4, 16)),
    ...     Node(2, Operation.CONCATENATION, "cat", (0, 1), (8, 20), settings=(("axis", 1.0),), unit_axis=1),
    ...     Node(3, Operation.LINEAR, "linear", (2,), (8, 4), unit_axis=1, kernel=KernelShape(4, 20)),
    ...     Node(4, Operation.CONCATENATION, "cat", (2, 3), (8, 24), settings=(("axis", 1.0),), unit_axis=1),
    ... )
    >>> [(s.start, s.width, dict(s.parts)) for s in dense_streams(SignalGraph(nodes, ()))]
    [(0, 16, {1: 4, 3: 4})]
    """
    reaches = ancestry(graph).reaches
    gathered: dict[int, dict[int, int]] = {}
    joined: dict[int, frozenset[int]] = {}  # of every concatenation, what it is put together of
    for node in graph.nodes:
        if node.stage != "model" or not _joins_units(node):
            continue
        joined[node.index] = frozenset().union(*(_leaves(graph, operand, joined) for operand in node.inputs))
        leaves = sorted(joined[node.index])
        for leaf in leaves:
            start = next((one for one in leaves if one != leaf and reaches(one, leaf)), None)
            width = _width(graph.nodes[leaf])
            if start is not None and width:
                gathered.setdefault(start, {})[leaf] = width
    found = []
    for start, parts in sorted(gathered.items()):
        width = _width(graph.nodes[start])
        if width:
            ends = {part: end for part in parts if (end := _end(graph, part)) is not None}
            found.append(DenseStream(start, width, parts, ends))
    return tuple(found)


def _joins_units(node: Node) -> bool:
    axis = dict(node.settings).get("axis")
    return node.operation is Operation.CONCATENATION and node.unit_axis is not None and axis == node.unit_axis


def _leaves(graph: SignalGraph, operand: int, joined: Mapping[int, frozenset[int]]) -> frozenset[int]:
    """Return the nodes that an operand is put together of, given those of earlier concatenations."""
    here = graph.nodes[operand]
    while here.operation in SHIFTING and len(here.inputs) == 1:
        here = graph.nodes[here.inputs[0]]
    return joined.get(here.index, frozenset({here.index}))


def _width(node: Node) -> int:
    return node.shape[node.unit_axis] if node.unit_axis is not None and node.shape else 0


def _end(graph: SignalGraph, part: int) -> int | None:
    """The weighted node whose output a part is, used nowhere else in the pass."""
    ends = nearest_before(graph, part, lambda n: n.operation.weighted, through=SHIFTING)
    if len(ends) != 1 or graph.nodes[ends[0]].kernel is None:
        return None
    paths = [graph.parameter(use.parameter) for use in graph.nodes[ends[0]].uses_of("weight")]
    return ends[0] if all(parameter.nodes == (ends[0],) for parameter in paths) else None
