"""Residual branches: which weights they hold, and what switches them off.

A stream is what adds gather on one width: where a skip is projected (a new stage of a ResNet) a new stream begins, with
a budget of its own. The projection brings the level back to one, so every stage at most doubles it, and the gradient
grows by about e/2 a stage whatever its depth.
"""

from __future__ import annotations

from dataclasses import dataclass

from gainstage.graph import Node, Operation, SignalGraph, ancestors, nearest_before, residuals, stream_lengths

__all__ = ["Branch", "branches", "innermost", "switches"]

_QUIET = frozenset({Operation.RESHAPE, Operation.DROPOUT, Operation.OFFSET})


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


def branches(graph: SignalGraph) -> tuple[Branch, ...]:
    """All residual branches, in order of execution."""
    sets, adds = ancestors(graph), residuals(graph)
    lengths = stream_lengths(adds)
    weighted = [node.index for node in graph.weighted()]
    found = []
    for add in adds:
        inside = (i for i in weighted if i != add.fork and sets[add.branch] >> i & 1 and sets[i] >> add.fork & 1)
        found.append(Branch(add.fork, add.branch, add.stream, lengths[add.stream], tuple(inside), add.ends))
    return tuple(found)


def innermost(found: tuple[Branch, ...]) -> dict[int, Branch]:
    """For every weighted node on a branch, the smallest branch that holds it."""
    smallest: dict[int, Branch] = {}
    for branch in sorted(found, key=lambda b: -len(b.weights)):
        smallest |= dict.fromkeys(branch.weights, branch)
    return smallest


def switches(graph: SignalGraph) -> frozenset[str]:
    """The parameters that silence all branches at zero: a learned multiplier, a norm's scale, or the last weights."""
    paths: set[str] = set()
    for branch in branches(graph):
        for operation in (Operation.SCALE, Operation.NORMALIZATION):
            ends = nearest_before(graph, branch.end, _scales(operation), through=_QUIET)
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
