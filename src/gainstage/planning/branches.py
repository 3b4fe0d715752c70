"""Residual branches: which weights they hold, what level they may add, and what switches them off.

A stream is what adds gather on one width: where a skip is projected (a new stage of a ResNet) a new stream begins, with
a budget of its own. The projection brings the level back to one, so every stage at most doubles it, and the gradient
grows by about e/2 a stage whatever its depth.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gainstage.graph import (
    Node,
    Operation,
    SignalGraph,
    ancestry,
    nearest_before,
    once_per_graph,
    residuals,
    stream_lengths,
)
from gainstage.graph.groups import AFFINE, SHIFTING
from gainstage.graph.patterns.residual import Residual
from gainstage.propagation.composed import is_scalar

__all__ = ["Branch", "Budget", "branches", "budgets", "couplings", "innermost", "stream_levels", "switches"]

_STREAMS = 4
"""Streams one after another that have a budget each."""

_ELEMENTWISE = AFFINE | {Operation.ACTIVATION}


@dataclass(frozen=True, slots=True)
class Branch:
    """One residual branch.

    Args:
        fork: the node where it leaves the stream.
        end: the node that is added to the stream.
        stream: the fork of the first branch on the same stream.
        length: how many branches the stream gathers.
        weights: the weighted nodes on it, in order of execution.
        last: those of them that nothing weighted follows.
    """

    fork: int
    end: int
    stream: int
    length: int
    weights: tuple[int, ...]
    last: tuple[int, ...]


@once_per_graph("nodes")
def branches(graph: SignalGraph) -> tuple[Branch, ...]:
    """All residual branches, in order of execution."""
    reaches, adds = ancestry(graph).reaches, residuals(graph)
    lengths = stream_lengths(adds)
    weighted = [node.index for node in graph.weighted()]
    found = []
    for add in adds:
        between = weighted[bisect_right(weighted, add.fork) : bisect_right(weighted, add.branch)]
        inside = (i for i in between if reaches(i, add.branch) and reaches(add.fork, i))
        found.append(Branch(add.fork, add.branch, add.stream, lengths[add.stream], tuple(inside), add.ends))
    return tuple(found)


def innermost(found: tuple[Branch, ...]) -> dict[int, Branch]:
    """For every weighted node on a branch, the smallest branch that holds it."""
    smallest: dict[int, Branch] = {}
    for branch in sorted(found, key=lambda b: -len(b.weights)):
        smallest |= dict.fromkeys(branch.weights, branch)
    return smallest


@dataclass(frozen=True, slots=True)
class Budget:
    """What the end of a residual branch may bring.

    Args:
        level: of its output.
        reason: in words.
    """

    level: float = 1.0
    reason: str = "level 1"


@once_per_graph("nodes")
def budgets(graph: SignalGraph) -> Mapping[int, Budget]:
    """The level of every weight and normalisation that ends a residual branch, by node.

    L branches add 1/L each to their stream. Uses of one weight add up in amplitude, not in power, for they add much
    the same each time: a weight that ends r of the L branches brings 1/(r·L), unless the stream is normalised in
    between (as post-norm blocks do). A factor on the way to the sum that the model's own code holds counts towards
    that; the level is never raised above one for it.

    Every stream multiplies the gradient by about e/2. The stages of a convolutional network, four or so, multiply it by
    three together. Where more streams follow one another (a weight without a skip stands between them, block after
    block), they share what four may do.
    """
    adds = residuals(graph)
    lengths = stream_lengths(adds)
    series = _series(adds)
    repeats = Counter((add.stream, key) for add in adds for key in {_weights(graph, end) for end in add.ends})
    found: dict[int, Budget] = {}
    for add in adds:
        last = nearest_before(graph, add.branch, lambda n: n.operation is Operation.NORMALIZATION, through=AFFINE)
        count, factor = lengths[add.stream], _factor(graph, add.branch)
        for end in (*add.ends, *last):
            times = 1 if _normalised(graph, add.skip) else max(repeats[add.stream, _weights(graph, end)], 1)
            budget = _budget(count, times, factor, series)
            if end not in found or budget.level < found[end].level:
                found[end] = budget
    return found


@once_per_graph("nodes")
def stream_levels(graph: SignalGraph) -> Mapping[int, float]:
    """The level of a stream behind each of its adds: what it held before, and its branch's share."""
    adds = residuals(graph)
    lengths = stream_lengths(adds)
    levels: dict[int, float] = {}
    for add in adds:
        before = nearest_before(graph, add.skip, lambda n: n.index in levels, through=SHIFTING)
        share = 1 / (lengths[add.stream] * _series(adds))
        levels[add.add] = max((levels[i] for i in before), default=1.0) + share
    return levels


def _series(adds: Sequence[Residual]) -> float:
    """By how many times the streams of a model exceed the number that have a budget each."""
    return max(1.0, len({add.stream for add in adds}) / _STREAMS)


def _budget(count: int, times: int, factor: float, series: float) -> Budget:
    level = min(1.0, 1 / (count * times * factor**2 * series)) if factor else 1.0
    told = f"level 1/{count * times}: one of {count} residual branches of its stream"
    if series > 1:
        told = f"level {level:.3g}: one of {count} residual branches of one of {series * _STREAMS:.0f} streams"
    if times > 1:
        told += f", {times} of which it ends"
    if factor != 1:
        told = f"level {level:.3g}: one of {count} residual branches of its stream, times {factor:.3g} on the way"
    return Budget(level, told)


@once_per_graph("graph")
def couplings(graph: SignalGraph) -> frozenset[str]:
    """The weights whose output both scales what is skipped and is added to it: the last ones of affine couplings."""
    paths: set[str] = set()
    for add in residuals(graph):
        products = nearest_before(graph, add.skip, lambda n: n.operation is Operation.MULTIPLY, through=SHIFTING)
        factors = {factor for index in products for factor in graph.nodes[index].inputs}
        scaling = {i for f in factors for i in nearest_before(graph, f, _is_weighted, through=_ELEMENTWISE)}
        paths |= {use.parameter for i in scaling & set(add.ends) for use in graph.nodes[i].uses_of("weight")}
    return frozenset(graph.parameter(path).path for path in paths)


def _is_weighted(node: Node) -> bool:
    return node.operation.weighted


def _normalised(graph: SignalGraph, skip: int) -> bool:
    return bool(nearest_before(graph, skip, lambda n: n.operation is Operation.NORMALIZATION, through=SHIFTING))


def _weights(graph: SignalGraph, index: int) -> frozenset[str]:
    """What a node is weighted with: equal for two uses of one layer."""
    return frozenset(use.parameter for use in graph.nodes[index].uses if use.slot in {"weight", "scale"})


def _factor(graph: SignalGraph, index: int) -> float:
    """The product of the scalings by one number right before a sum."""
    factor, node = 1.0, graph.nodes[index]
    while node.operation in AFFINE and len(node.inputs) == 1 and not (node.operation is Operation.SCALE and node.uses):
        if node.operation is Operation.SCALE and is_scalar(node):
            factor *= abs(node.setting("other"))
        node = graph.nodes[node.inputs[0]]
    return factor if math.isfinite(factor) else 1.0


@once_per_graph("graph")
def switches(graph: SignalGraph) -> frozenset[str]:
    """The parameters that silence all branches at zero: a learned multiplier, a norm's scale, or the last weights."""
    paths: set[str] = set()
    for branch in branches(graph):
        for operation in (Operation.SCALE, Operation.NORMALIZATION):
            ends = nearest_before(graph, branch.end, _scales(operation), through=SHIFTING)
            scales = [use.parameter for i in ends for use in graph.nodes[i].uses_of("scale")]
            if scales:
                break
        else:
            scales = [use.parameter for i in branch.last for use in graph.nodes[i].uses_of("weight")]
        paths |= {graph.parameter(path).path for path in scales}
    return frozenset(paths)


def _scales(operation: Operation):  # type: ignore[no-untyped-def]
    def wanted(node: Node) -> bool:
        return node.operation is operation and bool(node.uses_of("scale"))

    return wanted
