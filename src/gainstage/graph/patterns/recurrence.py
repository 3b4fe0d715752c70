"""Recurrent layers written out by hand: one weight that meets its own past at every step.

``h = tanh(U x_t + W h)`` in a loop uses W again and again, each time on what it made before, and adds something that it
did not make. That tells it from depth with shared weights, where nothing is added, and from a residual stream, to which
the shared weight's own output is added.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, starmap
from math import prod

from gainstage.graph.ancestry import ancestry
from gainstage.graph.facts import once_per_graph
from gainstage.graph.groups import SHIFTING
from gainstage.graph.operation import Operation
from gainstage.graph.signal import Node, SignalGraph
from gainstage.graph.walk import nearest_before

__all__ = ["Recurrence", "recurrences", "scans"]

_TAKEN = frozenset({Operation.RESHAPE, Operation.MULTIPLY, Operation.SCALE, Operation.ACTIVATION})
_STEPS = 3  # uses of one weight, each on the last one's output: fewer are a layer that happens to be shared


@dataclass(frozen=True, slots=True)
class Recurrence:
    """One weight from step to step.

    Args:
        states: the nodes in which it is used.
        inputs: the nodes with the weights whose outputs are added to theirs.
        sums: those sums.
    """

    states: tuple[int, ...]
    inputs: tuple[int, ...]
    sums: tuple[int, ...]


@once_per_graph("nodes")
def recurrences(graph: SignalGraph) -> tuple[Recurrence, ...]:
    """All loops over time that the graph shows step by step."""
    chains = _chains(graph)
    own = {index: path for path, chain in chains.items() for index in chain}
    sums: dict[str, list[int]] = defaultdict(list)
    inputs: dict[str, list[int]] = defaultdict(list)
    for node in graph.nodes if chains else ():
        if node.operation is not Operation.ADD or len(node.inputs) != 2:
            continue
        sides = [nearest_before(graph, i, lambda n: n.operation.weighted, through=SHIFTING) for i in node.inputs]
        if not all(len(side) == 1 for side in sides):
            continue
        (first,), (second,) = sides
        for state, other in ((first, second), (second, first)):
            if state in own and other not in own:
                sums[own[state]].append(node.index)
                inputs[own[state]].append(other)
    # A stream that starts with one such sum and goes on with others is depth with shared weights: so is ALBERT.
    loops = ((path, found) for path, found in sums.items() if len(found) >= len(chains[path]) - 1)
    return tuple(Recurrence(chains[path], _alike(graph, inputs[path]), tuple(found)) for path, found in loops)


@once_per_graph("nodes")
def scans(graph: SignalGraph) -> frozenset[int]:
    """The sums of a state that runs over time without a matrix: ``h = a_t * h + b_t`` (state-space models).

    At every step one more slice of a tensor that was there before the first one is added, while the branches of a
    residual stream are made of what the stream holds.
    """
    by_tensor: dict[int, list[int]] = defaultdict(list)
    for node in graph.nodes:
        if node.operation is Operation.ADD and len(node.inputs) == 2:
            slices = {s for i in node.inputs for s in nearest_before(graph, i, _step_of(graph), through=_TAKEN)}
            for tensor in {graph.nodes[s].inputs[0] for s in slices}:
                by_tensor[tensor].append(node.index)
    several = [sums for sums in by_tensor.values() if len(sums) >= _STEPS]
    if not several:
        return frozenset()
    chains = (sums for sums in several if all(starmap(ancestry(graph).reaches, pairwise(sums))))
    return frozenset(index for sums in chains for index in sums)


def _step_of(graph: SignalGraph) -> Callable[[Node], bool]:
    """Whether a node is one step of a tensor: an axis is gone."""

    def taken(node: Node) -> bool:
        if node.operation is not Operation.RESHAPE or len(node.inputs) != 1:
            return False
        before = graph.nodes[node.inputs[0]].shape
        return len(node.shape) < len(before) and prod(node.shape) < prod(before)

    return taken


def _alike(graph: SignalGraph, nodes: list[int]) -> tuple[int, ...]:
    """All nodes with the weights of these: at the first step there may be no state yet to be added to."""
    weights = {use.parameter for index in nodes for use in graph.nodes[index].uses_of("weight")}
    return tuple(n.index for n in graph.nodes if weights & {use.parameter for use in n.uses_of("weight")})


def _chains(graph: SignalGraph) -> dict[str, tuple[int, ...]]:
    """Weights of which each use but the first reads what the one before it made."""
    uses: dict[str, list[int]] = defaultdict(list)
    for node in graph.nodes:
        if node.operation is Operation.LINEAR:
            for use in node.uses_of("weight"):
                uses[use.parameter].append(node.index)
    repeated = {path: tuple(nodes) for path, nodes in uses.items() if len(nodes) >= _STEPS}
    if not repeated:
        return {}
    return {path: nodes for path, nodes in repeated.items() if all(starmap(ancestry(graph).reaches, pairwise(nodes)))}
