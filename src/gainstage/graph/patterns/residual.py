"""Recognises residual streams by the structure of the graph alone.

A residual add joins two operands with a common ancestor that reaches them through different numbers of weights. This
finds projected skips, in-place adds, and pre- and post-norm blocks. It excludes adds inside an activation, rotary
embeddings, position adds and masks: their operands have no common ancestor, or equally many weights on both paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod

from gainstage.graph.ancestry import ancestry
from gainstage.graph.facts import once_per_graph
from gainstage.graph.groups import AFFINE, COPYING, MULTIPLYING, UNWEIGHTED
from gainstage.graph.operation import Operation
from gainstage.graph.patterns.recurrence import recurrences, scans
from gainstage.graph.signal import Node, SignalGraph
from gainstage.graph.walk import FewestWeights, any_before, nearest_before

__all__ = ["Residual", "residuals", "stream_lengths"]


@dataclass(frozen=True, slots=True)
class Residual:
    """One residual add.

    Args:
        add: the node of the sum.
        fork: the node where skip and branch separate.
        skip: the operand with fewer weights since the fork.
        branch: the other operand.
        ends: the last weighted nodes of the branch.
        stream: the fork of the first residual add on the same stream; all adds of one stream have the same value.
    """

    add: int
    fork: int
    skip: int
    branch: int
    ends: tuple[int, ...]
    stream: int


_CARRY = AFFINE | MULTIPLYING | {Operation.POOLING, Operation.ACTIVATION}
_GATED = COPYING | {Operation.SCALE}
_SUMMED = AFFINE - {Operation.DROPOUT} | {Operation.ADD}


@once_per_graph("nodes")
def residuals(graph: SignalGraph) -> tuple[Residual, ...]:
    """Return all residual adds, in order of execution."""
    weights = FewestWeights(graph)
    totals = any_before(graph, _reduces, through=_SUMMED)
    over_time = {index for loop in recurrences(graph) for index in loop.sums} | scans(graph)
    found: dict[int, Residual] = {}
    for node in graph.nodes:
        if node.operation is not Operation.ADD or node.stage != "model" or node.index in over_time:
            continue
        parted = _parted(graph, weights, node)
        if parted is None:
            continue
        fork, skip, branch = parted
        if prod(graph.nodes[skip].shape) < prod(node.shape):
            continue  # a broadcast operand (a mask, a position, a context) is not a stream
        if totals[skip]:
            continue  # a running total (a flow's log-determinant) is not a stream
        ends = nearest_before(graph, branch, lambda n: n.operation.weighted, through=UNWEIGHTED)
        before = nearest_before(graph, skip, lambda n: n.index in found, through=_CARRY)
        stream = found[before[-1]].stream if before else fork
        found[node.index] = Residual(node.index, fork, skip, branch, ends, stream)
    return tuple(found.values())


def _parted(graph: SignalGraph, fewest: FewestWeights, add: Node) -> tuple[int, int, int] | None:
    """Return fork, skip and branch of a sum; None where both operands are equally many weights from their fork.

    A product of signals is represented by its factors, because a gate has ancestors of its own.
    """
    operands = add.inputs[:2] if add.setting("blended") else add.inputs
    if len(operands) != 2:
        return None
    first, second = operands
    factors = _factors(graph, first), _factors(graph, second)
    modulated = factors != ((first,), (second,)) and _share_weights(graph, first, second)
    for one, other in product(*factors):
        fork = ancestry(graph).nearest_common(one, other)
        if fork is None:
            continue
        weights = fewest.between(fork, one), fewest.between(fork, other)
        if modulated and min(weights):  # scale and shift computed by one layer (FiLM): no skip bypasses it
            continue
        if graph.nodes[fork].from_input and weights[0] != weights[1]:
            return (fork, first, second) if weights[0] < weights[1] else (fork, second, first)
    return None


def _share_weights(graph: SignalGraph, first: int, second: int) -> bool:
    """Report whether one layer contributes to both operands, with no other layer after it."""
    last = (set(nearest_before(graph, i, lambda n: n.operation.weighted, through=UNWEIGHTED)) for i in (first, second))
    return not set.isdisjoint(*last)


def _factors(graph: SignalGraph, operand: int) -> tuple[int, ...]:
    """Return the factors of a product of signals, or the signal itself."""
    products = nearest_before(graph, operand, _multiplies, through=_GATED)
    return tuple(i for index in products for i in graph.nodes[index].inputs) or (operand,)


def _multiplies(node: Node) -> bool:
    return node.operation is Operation.MULTIPLY


def _reduces(node: Node) -> bool:
    return node.operation is Operation.REDUCTION and node.part_of is None


def stream_lengths(adds: tuple[Residual, ...]) -> dict[int, int]:
    """Count the branches that are added to each stream."""
    lengths: dict[int, int] = {}
    for add in adds:
        lengths[add.stream] = lengths.get(add.stream, 0) + 1
    return lengths
