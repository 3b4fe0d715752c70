"""Residual streams, by the shape of the graph alone.

A residual add joins two operands that share an ancestor and differ in how many weights lie on the way from it. That
finds projected skips, in-place adds and pre- and post-norm blocks, and leaves out adds inside an activation, rotary
embeddings, position adds and masks, whose operands share an ancestor through equally many weights, or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from gainstage.graph.operation import Operation
from gainstage.graph.signal import Node, SignalGraph
from gainstage.graph.walk import ancestors, fewest_weights, nearest_before

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
        Operation.MULTIPLY,
    }
)


_GATED = frozenset({Operation.RESHAPE, Operation.DROPOUT, Operation.SCALE})
_TRIES = 8  # common ancestors looked at behind a gate: the gate's own few operations, and then where it forks


def residuals(graph: SignalGraph) -> tuple[Residual, ...]:
    """All residual adds, in order of execution."""
    sets = ancestors(graph)
    found: dict[int, Residual] = {}
    for node in graph.nodes:
        if node.operation is not Operation.ADD or node.stage != "model":
            continue
        parted = _parted(graph, sets, node)
        if parted is None:
            continue
        fork, skip, branch = parted
        if prod(graph.nodes[skip].shape) < prod(node.shape):
            continue  # what is broadcast (a mask, a position, a context) is not a stream
        ends = nearest_before(graph, branch, lambda n: n.operation.weighted, through=_BACK)
        before = nearest_before(graph, skip, lambda n: n.index in found, through=_CARRY)
        stream = found[before[-1]].stream if before else fork
        found[node.index] = Residual(node.index, fork, skip, branch, ends, stream)
    return tuple(found.values())


def _parted(graph: SignalGraph, sets: tuple[int, ...], add: Node) -> tuple[int, int, int] | None:
    """Fork, skip and branch of a sum; None where both operands are equally far from where they part."""
    operands = add.inputs[:2] if add.name == "lerp" else add.inputs
    if len(operands) != 2:
        return None
    first, second = operands
    common = sets[first] & sets[second]
    gated = any(nearest_before(graph, o, _multiplies, through=_GATED) for o in operands)
    for _ in range(_TRIES if gated else 1):
        if not common:
            return None
        fork = common.bit_length() - 1
        weights = fewest_weights(graph, fork, first), fewest_weights(graph, fork, second)
        if graph.nodes[fork].from_input and weights[0] != weights[1]:
            return (fork, first, second) if weights[0] < weights[1] else (fork, second, first)
        common ^= 1 << fork
    return None


def _multiplies(node: Node) -> bool:
    return node.operation is Operation.MULTIPLY


def stream_lengths(adds: tuple[Residual, ...]) -> dict[int, int]:
    """How many branches every stream gathers."""
    lengths: dict[int, int] = {}
    for add in adds:
        lengths[add.stream] = lengths.get(add.stream, 0) + 1
    return lengths
