"""Reachability between nodes, in memory that grows with the length of blocks and not with that of the network.

A node is a *cut* when no connection bypasses it in the order of execution. Every path from before the cut to behind it
passes through the cut. The sets of ancestors therefore go back to the last cut only. In a chain, and in a network of
residual blocks, a cut follows every layer or block. Where no cut exists (every layer reads the input again, or all
earlier layers), each set holds one bit for every earlier node.
"""

from __future__ import annotations

from gainstage.graph.facts import once_per_graph
from gainstage.graph.signal import SignalGraph

__all__ = ["Ancestry", "ancestry"]


class Ancestry:
    """The relation "a path leads from one node to another" of one graph; every node reaches itself.

    Args:
        graph: the operations; ``inputs`` of its nodes are the connections, including those of recognised steps.
    """

    def __init__(self, graph: SignalGraph) -> None:
        self._inputs = [node.inputs for node in graph.nodes]
        last_reader = [0] * len(graph.nodes)
        for node in graph.nodes:
            for source in node.inputs:
                last_reader[source] = node.index
        self._base: list[int] = []  # the last cut before each node
        self._sets: list[int] = []  # bit i: the node base + i reaches this node
        self._chain: dict[int, int] = {}  # per cut: the first cut of its chain
        cut, farthest = 0, 0
        for node in graph.nodes:
            index = node.index
            bits = 1 << index - cut
            for source in node.inputs:
                bits |= self._sets[source] if source != cut else 1
            self._base.append(cut)
            self._sets.append(bits)
            if farthest <= index:
                self._chain[index] = self._chain[cut] if index and bits & 1 else index
                cut = index
            farthest = max(farthest, last_reader[index])
        self._closing = self._closing_cuts(len(graph.nodes))

    def _closing_cuts(self, count: int) -> list[int]:
        """Return, for each node, the first cut at or after it; -1 where no cut follows."""
        closing, cut = [-1] * count, -1
        for index in reversed(range(count)):
            cut = index if index in self._chain else cut
            closing[index] = cut
        return closing

    def reaches(self, start: int, end: int) -> bool:
        """Report whether a path leads from ``start`` to ``end``."""
        return self.nearest_common(start, end) == start

    def nearest_common(self, first: int, second: int) -> int | None:
        """Return the latest node in the order of execution that reaches both nodes; None where no node does."""
        early, late = sorted((first, second))
        base = self._base[late]
        if early < base:  # every path to the later node passes the cut that closes the earlier segment
            cut = self._closing[early]
            if not self._sets[late] & 1 or self._chain[base] > cut:
                return None
            late, base = cut, self._base[cut]
        if late == early:
            return early
        common = self._sets[late] & (self._sets[early] if early != base else 1)
        return base + common.bit_length() - 1 if common else None

    def between(self, start: int, *ends: int, most: int) -> tuple[int, ...] | None:
        """Return the nodes that reach one of ``ends`` but not ``start``; None where there are more than ``most``."""
        found: set[int] = set()
        pending = list(ends)
        while pending:
            index = pending.pop()
            if index in found or self.reaches(index, start):
                continue
            found.add(index)
            if len(found) > most:
                return None
            pending += self._inputs[index]
        return tuple(sorted(found))


@once_per_graph("nodes")
def ancestry(graph: SignalGraph) -> Ancestry:
    """Compute the ancestors of all nodes of a graph.

    >>> from gainstage.graph import Node, Operation
    >>> nodes = (
    ...     Node(0, Operation.INPUT, "input", (), (8, 4)),
    ...     Node(1, Operation.LINEAR, "linear", (0,), (8, 4)),
    ...     Node(2, Operation.ADD, "add", (0, 1), (8, 4)),
    ... )
    >>> ancestry(SignalGraph(nodes, ())).nearest_common(1, 2), ancestry(SignalGraph(nodes, ())).reaches(2, 1)
    (1, False)
    """
    return Ancestry(graph)
