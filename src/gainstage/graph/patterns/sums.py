"""Finds sums of the outputs of several weights, in which every term contributes a share of the second moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gainstage.graph.facts import once_per_graph
from gainstage.graph.groups import MASKED_AFFINE
from gainstage.graph.operation import Operation
from gainstage.graph.patterns.residual import residuals
from gainstage.graph.signal import SignalGraph

__all__ = ["terms"]


@dataclass(frozen=True, slots=True)
class _Sum:
    """A signal as a sum: the number of its terms, and the weighted nodes among them."""

    count: int = 1
    nodes: frozenset[int] = frozenset()


@once_per_graph("nodes")
def terms(graph: SignalGraph) -> Mapping[int, int]:
    """Count, for every weighted node whose output is first of all added to other signals, the terms of that sum.

    Residual adds are excluded, because the budget of the stream covers them. So are adds whose two operands contain the
    same term, and adds of a signal that does not depend on the input.

    >>> from gainstage.graph import Node, Operation, SignalGraph
    >>> nodes = (
    ...     Node(0, Operation.INPUT, "input", (), (8, 4)),
    ...     Node(1, Operation.LINEAR, "linear", (0,), (8, 4)),
    ...     Node(2, Operation.LINEAR, "linear", (0,), (8, 4)),
    ...     Node(3, Operation.ADD, "add", (1, 2), (8, 4)),
    ... )
    >>> dict(terms(SignalGraph(nodes, ())))
    {1: 2, 2: 2}
    """
    streams = {add.add for add in residuals(graph)}
    sums: list[_Sum] = []
    found: dict[int, int] = {}
    for node in graph.nodes:
        here = _Sum()
        operands = [sums[i] for i in node.inputs]
        if node.operation.weighted:
            here = _Sum(nodes=frozenset({node.index}))
        elif node.operation in MASKED_AFFINE and len(operands) == 1:
            here = operands[0]
        elif (
            node.operation is Operation.ADD
            and node.index not in streams
            and node.part_of is None
            and len(operands) == 2
        ):
            first, second = operands
            live = all(graph.nodes[i].from_input for i in node.inputs)
            if live and (first.nodes or second.nodes) and not first.nodes & second.nodes:
                here = _Sum(first.count + second.count, first.nodes | second.nodes)
                found |= {index: max(found.get(index, 1), here.count) for index in here.nodes}
        sums.append(here)
    return MappingProxyType(found)
