"""Several projections in one weight, recognised by how its output is taken apart."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from gainstage.graph.facts import once_per_graph
from gainstage.graph.groups import MIXING
from gainstage.graph.operation import Operation
from gainstage.graph.signal import Node, Parameter, SignalGraph
from gainstage.graph.walk import any_after, nearest_after

__all__ = ["packed_blocks", "unpacked"]

_BETWEEN = frozenset({Operation.OFFSET, Operation.ADD, Operation.DROPOUT})
_MOST = 8  # parts; what is taken apart further is a loop over units, not a few projections


def unpacked(graph: SignalGraph) -> SignalGraph:
    """The same graph; a weight whose output is taken apart into equal projections holds as many blocks.

    Query, key and value in one matrix (GPT-2, ViT), gate and up-projection in one (gated feed-forward blocks), the
    gates of a recurrent cell written out by hand: each block has the fan_out of its own projection. Of unequal
    projections (fewer keys than queries) the smallest is the block where it divides all others.
    """
    return graph.with_parameters(tuple(_unpacked(graph, p) for p in graph.parameters))


def _unpacked(graph: SignalGraph, parameter: Parameter) -> Parameter:
    kernel = parameter.kernel
    if kernel is None or parameter.blocks > 1 or kernel.groups > 1:
        return parameter
    names = {parameter.path, *parameter.aliases}
    nodes = [graph.nodes[i] for i in parameter.nodes]
    using = [n for n in nodes if any(use.parameter in names and use.slot == "weight" for use in n.uses)]
    counts = {packed_blocks(graph, node) if node.kernel == kernel else 1 for node in using}
    if len(counts) != 1 or (count := counts.pop()) == 1 or kernel.out % count:
        return parameter
    return replace(parameter, kernel=replace(kernel, out=kernel.out // count), blocks=count)


def packed_blocks(graph: SignalGraph, node: Node) -> int:
    """How many equal projections the output of a node is taken apart into; 1 where it is read as a whole."""
    if node.operation not in MIXING or node.kernel is None:
        return 1
    if _read_as_a_whole(graph)[node.index]:
        return 1
    readers = nearest_after(graph, node.index, lambda n: n.operation not in _BETWEEN, through=_BETWEEN)
    parts = [graph.nodes[i] for i in readers]
    if parts and all(part.function == "glu" for part in parts):
        return 2
    if len(parts) < 2 or not all(_is_part(part, node.kernel.out) for part in parts):
        return 1
    sizes = [prod(part.shape) for part in parts]
    smallest = min(sizes)
    count, rest = divmod(sum(sizes), smallest)
    whole = sum(sizes) == prod(node.shape) and not rest and not any(size % smallest for size in sizes)
    return count if whole and count <= _MOST else 1


@once_per_graph("nodes")
def _read_as_a_whole(graph: SignalGraph) -> tuple[bool, ...]:
    """For every node, whether anything that takes no part of a tensor reads its output."""

    def takes_all(reader: Node) -> bool:
        parts = reader.function == "glu" or (reader.operation is Operation.RESHAPE and reader.function == "slice")
        return reader.operation not in _BETWEEN and not parts

    return any_after(graph, takes_all, through=_BETWEEN)


def _is_part(node: Node, units: int) -> bool:
    """Whether a node holds some of the units of what it reads; one that holds all of them parts positions."""
    return node.operation is Operation.RESHAPE and node.function == "slice" and units not in node.shape
