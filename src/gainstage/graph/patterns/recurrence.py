"""Recognises recurrent layers written out by hand: one weight applied to its own previous output at every step.

The loop ``h = tanh(U x_t + W h)`` uses W again and again on its previous output, and adds a signal that does not come
from W. Depth with shared weights differs, since nothing is added there. A residual stream differs too, since the sum
there contains the output of the shared weight itself.
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
_STEPS = 3  # uses of one weight, each on the output of the one before; with fewer, the layer counts as shared


@dataclass(frozen=True, slots=True)
class Recurrence:
    """One hand-written recurrence: a weight that is applied from step to step.

    Args:
        states: the nodes that apply the recurrent weight.
        inputs: the weighted nodes whose outputs are added to the state's.
        sums: the nodes of these sums.
    """

    states: tuple[int, ...]
    inputs: tuple[int, ...]
    sums: tuple[int, ...]


@once_per_graph("nodes")
def recurrences(graph: SignalGraph) -> tuple[Recurrence, ...]:
    """Return all recurrences that the graph contains step by step."""
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
    # A stream that begins with one such sum and continues with others is depth with shared weights (ALBERT).
    loops = ((path, found) for path, found in sums.items() if len(found) >= len(chains[path]) - 1)
    return tuple(Recurrence(chains[path], _alike(graph, inputs[path]), tuple(found)) for path, found in loops)


@once_per_graph("nodes")
def scans(graph: SignalGraph) -> frozenset[int]:
    """Return the sums of a state that runs over time without a matrix: ``h = a_t * h + b_t`` (state-space models).

    Every step adds one more slice of a tensor that was computed before the first step. The branches of a residual
    stream, in contrast, are computed from the stream.
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
    """Return a predicate: whether a node selects one step of a tensor, so that one axis disappears."""

    def taken(node: Node) -> bool:
        if node.operation is not Operation.RESHAPE or len(node.inputs) != 1:
            return False
        before = graph.nodes[node.inputs[0]].shape
        return len(node.shape) < len(before) and prod(node.shape) < prod(before)

    return taken


def _alike(graph: SignalGraph, nodes: list[int]) -> tuple[int, ...]:
    """Return all nodes that share weights with these, since the first step may have no state to add to."""
    weights = {use.parameter for index in nodes for use in graph.nodes[index].uses_of("weight")}
    return tuple(n.index for n in graph.nodes if weights & {use.parameter for use in n.uses_of("weight")})


def _chains(graph: SignalGraph) -> dict[str, tuple[int, ...]]:
    """Return, for each weight, its uses where each but the first reads the output of the one before."""
    uses: dict[str, list[int]] = defaultdict(list)
    for node in graph.nodes:
        if node.operation is Operation.LINEAR:
            for use in node.uses_of("weight"):
                uses[use.parameter].append(node.index)
    repeated = {path: tuple(nodes) for path, nodes in uses.items() if len(nodes) >= _STEPS}
    if not repeated:
        return {}
    return {path: nodes for path, nodes in repeated.items() if all(starmap(ancestry(graph).reaches, pairwise(nodes)))}
