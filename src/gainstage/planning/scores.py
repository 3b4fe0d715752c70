"""How large attention scores are for queries and keys of level one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from gainstage.graph import Node, Operation, SignalGraph, nearest_before, once_per_graph
from gainstage.graph.groups import MASKED_AFFINE
from gainstage.propagation.composed import is_scalar

__all__ = ["score_spreads"]

_PASSED = MASKED_AFFINE | {Operation.ADD}


@once_per_graph("nodes")
def score_spreads(graph: SignalGraph) -> Mapping[int, float]:
    """The spread of q·k, as the softmax sees it, for queries and keys of level one, by the nodes that make those.

    Over d units q·k has a spread of √d, and what the model multiplies scores, queries and keys by comes on top: one in
    all where it divides by √d (Vaswani et al., arXiv:1706.03762), √d where it does not (T5). Where scores have several
    terms, or are divided by what a trace does not see, nothing is said.

    >>> from gainstage.graph import KernelShape
    >>> nodes = (
    ...     Node(0, Operation.INPUT, "input", (), (8, 64)),
    ...     Node(1, Operation.LINEAR, "linear", (0,), (8, 64), kernel=KernelShape(64, 64)),
    ...     Node(2, Operation.LINEAR, "linear", (0,), (8, 64), kernel=KernelShape(64, 64)),
    ...     Node(3, Operation.MATMUL, "bmm", (1, 2), (8, 8), settings=(("contracted", 64.0),)),
    ...     Node(4, Operation.SOFTMAX, "softmax", (3,), (8, 8)),
    ... )
    >>> dict(score_spreads(SignalGraph(nodes, ())))
    {1: 8.0, 2: 8.0}
    """
    spreads: dict[int, float] = {}
    for product, scale in _scores(graph):
        ways = [_made_of(graph, operand) for operand in (product.inputs[0], product.inputs[1])]
        factors = [factor for way in ways if (factor := way[1]) is not None]
        if len(factors) == len(ways):
            for index in {i for made, _ in ways for i in made}:
                spreads[index] = max(spreads.get(index, 0.0), scale * math.prod(factors))
    return spreads


def _scores(graph: SignalGraph) -> Iterator[tuple[Node, float]]:
    """Every product of queries and keys, with √d times what its result is multiplied by."""
    for node in graph.nodes:
        settings = dict(node.settings)
        if node.operation is Operation.ATTENTION and len(node.inputs) > 1 and "width" in settings:
            yield node, settings.get("scale", settings["width"] ** -0.5) * math.sqrt(settings["width"])
        elif node.operation is Operation.SOFTMAX and node.stage == "model" and node.inputs:
            found = nearest_before(graph, node.inputs[0], _multiplies, through=_PASSED)
            product = graph.nodes[found[0]] if len(found) == 1 else None
            factor = None if product is None else _factor(graph, node.inputs[0], product.index)
            if product is None or factor is None or len(product.inputs) != 2:
                continue
            own = dict(product.settings)
            if "contracted" in own:
                yield product, factor * own.get("factor", 1.0) * math.sqrt(own["contracted"])


def _multiplies(node: Node) -> bool:
    return node.operation is Operation.MATMUL


def _made_of(graph: SignalGraph, operand: int) -> tuple[tuple[int, ...], float | None]:
    """The weighted nodes that an operand is made by, and what their outputs are multiplied by on the way."""
    found = nearest_before(graph, operand, lambda n: n.operation.weighted, through=_PASSED)
    return found, _factor(graph, operand, found[0]) if len(found) == 1 else None


def _factor(graph: SignalGraph, start: int, end: int) -> float | None:
    """The product of the numbers on the way back; None where something else divides.

    A product with what is no number (rotary angles) turns a signal and leaves its level.
    """
    factor, here = 1.0, graph.nodes[start]
    while here.index != end:
        if here.operation is Operation.SCALE and is_scalar(here):
            factor *= abs(here.setting("other"))
        elif here.operation not in _PASSED or not here.inputs or here.divides:
            return None
        here = graph.nodes[next((i for i in here.inputs if graph.nodes[i].from_input), here.inputs[0])]
    return factor
