"""Residual streams, by the shape of the graph alone.

A residual add joins two operands that share an ancestor and differ in how many weights lie on the way from it. That
finds projected skips, in-place adds and pre- and post-norm blocks, and leaves out adds inside an activation, rotary
embeddings, position adds and masks, whose operands share an ancestor through equally many weights, or none.
"""

from __future__ import annotations

from dataclasses import dataclass

from gainstage.graph.operation import Operation
from gainstage.graph.signal import SignalGraph
from gainstage.graph.walk import ancestors, fewest_weights, nearest_before, nearest_common_ancestor

__all__ = ["Residual", "residuals", "stream_lengths"]


@dataclass(frozen=True, slots=True)
class Residual:
    """One residual add.

    Args:
        add: the node of the sum.
        fork: where skip and branch part.
        skip: the operand with fewer weights since the fork.
        branch: the other operand.
        ends: the last weighted nodes of the branch.
        stream: the fork of the first residual on the same stream; all adds of one stream share it.
    """

    add: int
    fork: int
    skip: int
    branch: int
    ends: tuple[int, ...]
    stream: int


_BACK = frozenset(Operation) - {Operation.LINEAR, Operation.CONVOLUTION, Operation.RECURRENT, Operation.EMBEDDING}
_CARRY = frozenset(
    {
        Operation.RESHAPE,
        Operation.DROPOUT,
        Operation.POOLING,
        Operation.ACTIVATION,
        Operation.NORMALIZATION,
        Operation.SCALE,
        Operation.OFFSET,
    }
)


def residuals(graph: SignalGraph) -> tuple[Residual, ...]:
    """All residual adds, in order of execution."""
    sets = ancestors(graph)
    found: dict[int, Residual] = {}
    for node in graph.nodes:
        if node.operation is not Operation.ADD or node.stage != "model" or len(node.inputs) != 2:
            continue
        first, second = node.inputs
        fork = nearest_common_ancestor(sets, first, second)
        if fork is None or not graph.nodes[fork].from_input:
            continue
        weights = fewest_weights(graph, fork, first), fewest_weights(graph, fork, second)
        if weights[0] == weights[1]:
            continue
        skip, branch = (first, second) if weights[0] < weights[1] else (second, first)
        ends = nearest_before(graph, branch, lambda n: n.operation.weighted, through=_BACK)
        before = nearest_before(graph, skip, lambda n: n.index in found, through=_CARRY)
        stream = found[before[-1]].stream if before else fork
        found[node.index] = Residual(node.index, fork, skip, branch, ends, stream)
    return tuple(found.values())


def stream_lengths(adds: tuple[Residual, ...]) -> dict[int, int]:
    """How many branches every stream gathers."""
    lengths: dict[int, int] = {}
    for add in adds:
        lengths[add.stream] = lengths.get(add.stream, 0) + 1
    return lengths
