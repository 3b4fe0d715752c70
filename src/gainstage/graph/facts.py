"""Properties of a graph are computed once and kept with the graph.

A graph never changes, so a function of the graph alone has one result. ``once_per_graph`` keeps that result for as long
as the graph lives. Tracing a model builds three graphs one after the other: the operations as they ran, the same graph
with hand-written functions recognised, and the same operations with roles assigned to the parameters. The last two
share what depends on the operations alone, so a trace computes every such property at most twice.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, TypeVar

from gainstage.graph.signal import SignalGraph

__all__ = ["once_per_graph"]

Result = TypeVar("Result")
Question = Callable[[SignalGraph], Result]


def once_per_graph(reads: Literal["nodes", "graph"]) -> Callable[[Question[Result]], Question[Result]]:
    """Make a function of a graph compute its result once for every graph.

    The result must not be changed by those who receive it.

    Args:
        reads: what the function reads. ``nodes`` promises that it never looks at ``graph.parameters``; its result is
            then shared by graphs that differ in their parameters alone.

    >>> from gainstage.graph import Node, Operation
    >>> @once_per_graph("nodes")
    ... def count(graph):
    ...     print("counting")
    ...     return len(graph.nodes)
    >>> graph = SignalGraph((Node(0, Operation.INPUT, "input", (), (8, 4)),), ())
    >>> count(graph), count(graph), count(graph.with_parameters(()))
    counting
    (1, 1, 1)
    """

    def kept(compute: Question[Result]) -> Question[Result]:
        @wraps(compute)
        def fact(graph: SignalGraph) -> Result:
            known: dict[Any, Any] = graph.node_facts if reads == "nodes" else graph.graph_facts
            if compute not in known:
                known[compute] = compute(graph)
            found: Result = known[compute]
            return found

        return fact

    return kept
