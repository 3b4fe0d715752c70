"""Recognises several projections packed in one weight, by how the output of the weight is split."""

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
_MOST = 8  # parts; a tensor that is split further is iterated over its units


def unpacked(graph: SignalGraph) -> SignalGraph:
    """Return the same graph, where a weight whose output is split into n equal projections has ``blocks`` = n.

    Examples are query, key and value in one matrix (GPT-2, ViT), gate and up-projection in one (gated feed-forward
    blocks), and the gates of a hand-written recurrent cell. Each block has the fan-out of its own projection. Among
    unequal projections (fewer keys than queries), the smallest is the block where its size divides all others.
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
    """Count the equal projections into which the output of a node is split; 1 where the output is read as a whole."""
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
    """Report, for every node, whether an operation other than a split reads its output."""

    def takes_all(reader: Node) -> bool:
        parts = reader.function == "glu" or (reader.operation is Operation.RESHAPE and reader.function == "slice")
        return reader.operation not in _BETWEEN and not parts

    return any_after(graph, takes_all, through=_BETWEEN)


def _is_part(node: Node, units: int) -> bool:
    """Report whether a node selects some of the units of its input; one that keeps all units selects positions."""
    return node.operation is Operation.RESHAPE and node.function == "slice" and units not in node.shape
