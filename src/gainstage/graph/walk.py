"""Questions about the way from node to node: depth, ancestors, and the nearest layer before or after a place."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gainstage.graph.operation import Operation
from gainstage.graph.signal import Node, SignalGraph

__all__ = [
    "Through", "ancestors", "depths", "fewest_weights", "nearest_after", "nearest_before", "nearest_common_ancestor",
]  # fmt: skip

Through = Iterable[Operation] | Callable[[Node], bool]
"""Which nodes a walk may pass: those of some operations, or those that a predicate names."""


def depths(graph: SignalGraph) -> tuple[int, ...]:
    """For every node, the largest number of weighted operations on a way from the input up to and including it."""
    depth: list[int] = []
    for node in graph.nodes:
        here = max((depth[i] for i in node.inputs), default=0)
        depth.append(here + (node.operation.weighted and node.from_input))
    return tuple(depth)


def ancestors(graph: SignalGraph) -> tuple[int, ...]:
    """For every node, itself and all nodes that reach it, as a bit set: bit i stands for node i."""
    sets: list[int] = []
    for node in graph.nodes:
        bits = 1 << node.index
        for source in node.inputs:
            bits |= sets[source]
        sets.append(bits)
    return tuple(sets)


def nearest_common_ancestor(sets: tuple[int, ...], first: int, second: int) -> int | None:
    """The latest node from which both can be reached (each reaches itself)."""
    return (sets[first] & sets[second]).bit_length() - 1 if sets[first] & sets[second] else None


def fewest_weights(graph: SignalGraph, start: int, end: int) -> int:
    """The smallest number of weighted operations on a way from just after ``start`` to ``end``."""
    count: dict[int, int] = {start: 0}
    for index in range(start + 1, end + 1):
        node = graph.nodes[index]
        ways = [count[i] for i in node.inputs if i in count]
        if ways:
            count[index] = min(ways) + node.operation.weighted
    return count.get(end, 0)


def nearest_before(
    graph: SignalGraph, start: int, wanted: Callable[[Node], bool], *, through: Through
) -> tuple[int, ...]:
    """The first wanted nodes met on every way back from ``start`` (itself included) through passable ones."""
    return _nearest(graph, [start], wanted, through, lambda node: node.inputs)


def nearest_after(
    graph: SignalGraph, start: int, wanted: Callable[[Node], bool], *, through: Through
) -> tuple[int, ...]:
    """The first wanted nodes met on every way forward from ``start`` (itself excluded) through passable ones."""
    return _nearest(graph, graph.consumers[start], wanted, through, lambda node: graph.consumers[node.index])


def _nearest(
    graph: SignalGraph,
    starts: Iterable[int],
    wanted: Callable[[Node], bool],
    through: Through,
    onward: Callable[[Node], Iterable[int]],
) -> tuple[int, ...]:
    """The first wanted nodes on every way from ``starts``; a way ends where an operation is not passable."""
    operations = frozenset() if callable(through) else frozenset(through)
    passable = through if callable(through) else lambda node: node.operation in operations
    found: set[int] = set()
    seen: set[int] = set()
    pending = list(starts)
    while pending:
        index = pending.pop()
        if index in seen:
            continue
        seen.add(index)
        node = graph.nodes[index]
        if wanted(node):
            found.add(index)
        elif passable(node):
            pending += onward(node)
    return tuple(sorted(found))
