"""Walks over the graph: depth, weights between two nodes, and the nearest layer before or after a node."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gainstage.graph.facts import once_per_graph
from gainstage.graph.operation import Operation
from gainstage.graph.signal import Node, SignalGraph

__all__ = [
    "FewestWeights",
    "Through",
    "all_after",
    "any_after",
    "any_before",
    "depths",
    "nearest_after",
    "nearest_before",
]

Through = Iterable[Operation] | Callable[[Node], bool]
"""Which nodes a walk may pass: those of the given operations, or those for which a predicate is true."""


@once_per_graph("nodes")
def depths(graph: SignalGraph) -> tuple[int, ...]:
    """Count, for every node, the most weighted operations on a path from the input up to and including it."""
    depth: list[int] = []
    for node in graph.nodes:
        here = max((depth[i] for i in node.inputs), default=0)
        depth.append(here + (node.operation.weighted and node.from_input))
    return tuple(depth)


class FewestWeights:
    """The smallest number of weighted operations between two nodes of one graph.

    The counts of every starting node are kept, and later calls continue from where they ended. Many sums that share one
    starting node (an input that every layer reads) then cost one walk together.
    """

    def __init__(self, graph: SignalGraph) -> None:
        self._nodes = graph.nodes
        self._counts: dict[int, dict[int, int]] = {}
        self._ends: dict[int, int] = {}

    def between(self, start: int, end: int) -> int:
        """Return the count on a path from just after ``start`` up to and including ``end``; 0 where no path exists."""
        counts = self._counts.setdefault(start, {start: 0})
        for node in self._nodes[self._ends.get(start, start) + 1 : end + 1]:
            ways = [counts[i] for i in node.inputs if i in counts]
            if ways:
                counts[node.index] = min(ways) + node.operation.weighted
        self._ends[start] = max(end, self._ends.get(start, start))
        return counts.get(end, 0)


def nearest_before(
    graph: SignalGraph, start: int, wanted: Callable[[Node], bool], *, through: Through
) -> tuple[int, ...]:
    """Return the first wanted nodes on every path back from ``start`` (itself included) through passable nodes."""
    return _nearest(graph, [start], wanted, through, lambda node: node.inputs)


def nearest_after(
    graph: SignalGraph, start: int, wanted: Callable[[Node], bool], *, through: Through
) -> tuple[int, ...]:
    """Return the first wanted nodes on every path forward from ``start`` (itself excluded) through passable nodes."""
    return _nearest(graph, graph.consumers[start], wanted, through, lambda node: graph.consumers[node.index])


def any_before(graph: SignalGraph, wanted: Callable[[Node], bool], *, through: Through) -> tuple[bool, ...]:
    """Report, for every node, whether ``nearest_before`` finds a node from there; one pass over the graph for all."""
    passable = _passable(through)
    found: list[bool] = []
    for node in graph.nodes:
        found.append(wanted(node) or (passable(node) and any(found[i] for i in node.inputs)))
    return tuple(found)


def any_after(graph: SignalGraph, wanted: Callable[[Node], bool], *, through: Through) -> tuple[bool, ...]:
    """Report, for every node, whether ``nearest_after`` finds a node from there; one pass over the graph for all."""
    passable = _passable(through)
    found = [False] * len(graph.nodes)
    met = [False] * len(graph.nodes)  # the same, with the node itself included in the search
    for node in reversed(graph.nodes):
        found[node.index] = any(met[reader] for reader in graph.consumers[node.index])
        met[node.index] = wanted(node) or (passable(node) and found[node.index])
    return tuple(found)


def all_after(graph: SignalGraph, wanted: Callable[[Node], bool], *, through: Through) -> frozenset[int]:
    """Return the nodes whose every path forward reaches a wanted node through passable nodes alone."""
    passable = _passable(through)
    found: set[int] = set()
    for node in reversed(graph.nodes):
        readers = [graph.nodes[reader] for reader in graph.consumers[node.index]]
        if readers and all(wanted(reader) or (passable(reader) and reader.index in found) for reader in readers):
            found.add(node.index)
    return frozenset(found)


def _passable(through: Through) -> Callable[[Node], bool]:
    if callable(through):
        return through
    operations = frozenset(through)
    return lambda node: node.operation in operations


def _nearest(
    graph: SignalGraph,
    starts: Iterable[int],
    wanted: Callable[[Node], bool],
    through: Through,
    onward: Callable[[Node], Iterable[int]],
) -> tuple[int, ...]:
    """Return the first wanted nodes on every path from ``starts``; a path ends where a node is not passable."""
    passable = _passable(through)
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
