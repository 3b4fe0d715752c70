"""Outputs that no layer makes: sums over products of two signals, as two towers and matrix factorization give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gainstage.graph import Node, Operation, SignalGraph, any_after, nearest_after, nearest_before, once_per_graph
from gainstage.graph.groups import LEVEL_KEEPING, MASKED_AFFINE, NONLINEAR
from gainstage.propagation.composed import is_scalar

__all__ = ["LOGIT_SPREAD", "Factor", "factors"]

LOGIT_SPREAD = 0.3
"""Of the output at the start. Logits this small leave the loss within spread²/2 = 0.045 nats of chance."""

_SHAPING = LEVEL_KEEPING | {Operation.ADD}
_ONWARD = _SHAPING | NONLINEAR
_BACKWARD = MASKED_AFFINE | {Operation.ACTIVATION}


@dataclass(frozen=True, slots=True)
class Factor:
    """What a signal that makes the output together with another one should have.

    Args:
        level: its second moment.
        reason: in words.
    """

    level: float
    reason: str


@once_per_graph("nodes")
def factors(graph: SignalGraph) -> Mapping[int, Factor]:
    """The factors of outputs by node, and tables whose rows are outputs themselves.

    The sum of n products of two independent signals of level q has the second moment n q².

    >>> from gainstage.graph import Node, Operation, SignalGraph
    >>> nodes = (
    ...     Node(0, Operation.INPUT, "users", (), (8, 4)),
    ...     Node(1, Operation.INPUT, "items", (), (8, 4)),
    ...     Node(2, Operation.LINEAR, "linear", (0,), (8, 25)),
    ...     Node(3, Operation.LINEAR, "linear", (1,), (8, 25)),
    ...     Node(4, Operation.MULTIPLY, "mul", (2, 3), (8, 25)),
    ...     Node(5, Operation.REDUCTION, "sum", (4,), (8,)),
    ... )
    >>> {index: round(factor.level, 3) for index, factor in factors(SignalGraph(nodes, (), (0, 1), (5,))).items()}
    {2: 0.06, 3: 0.06}
    """
    products = {
        product.index: sums
        for product in graph.nodes
        if _is_product(graph, product) and (sums := _terms(graph, product))[0] > 1 and _leads_out(graph, product.index)
    }
    found: dict[int, Factor] = {}
    for end in graph.ends:
        parts = nearest_before(graph, end, lambda n: n.index in products or n.operation.weighted, through=_ONWARD)
        spread = LOGIT_SPREAD / math.sqrt(len(parts) or 1)
        for part in parts:
            if part in products:
                found |= _sides(graph, graph.nodes[part], *products[part], spread)
            elif graph.nodes[part].operation is Operation.EMBEDDING and _leads_out(graph, part):
                found[part] = Factor(spread**2, f"spread {spread:.3g}: its rows are outputs, which start near chance")
    return MappingProxyType(found)


def _sides(graph: SignalGraph, product: Node, count: int, scale: float, spread: float) -> Mapping[int, Factor]:
    """The weights on both sides of a product; what cannot be set is taken to have unit level."""
    sides = [side for i in product.inputs if (side := _made_by(graph, i, product))]
    level = (spread / (abs(scale) * math.sqrt(count))) ** (2 / len(sides)) if sides and scale else 1.0
    reason = f"level {level:.3g}: {count} products of two signals make an output of spread {spread:.3g}"
    return {index: Factor(level, reason) for side in sides for index in side}


def _is_product(graph: SignalGraph, node: Node) -> bool:
    """Whether two signals are multiplied."""
    if node.stage != "model" or node.part_of is not None or len(set(node.inputs)) != 2:
        return False
    if not all(graph.nodes[i].from_input for i in node.inputs):
        return False
    return node.operation is Operation.MATMUL or (node.operation is Operation.MULTIPLY and not node.divides)


def _made_by(graph: SignalGraph, factor: int, product: Node) -> tuple[int, ...]:
    """The weights that make one factor; none where something else than this product reads them, or a state does."""
    nodes = nearest_before(graph, factor, lambda node: node.operation.weighted, through=_BACKWARD)
    recurrent = any(graph.nodes[index].operation is Operation.RECURRENT for index in nodes)
    return nodes if not recurrent and all(_leads_out(graph, index, product.index) for index in nodes) else ()


def _leads_out(graph: SignalGraph, index: int, by: int | None = None) -> bool:
    """Whether nothing but shaping, and that product, stands between a node and the outputs."""
    if index not in graph.outputs and not graph.consumers[index]:
        return False
    if by is None:
        return not _stopped(graph)[index]
    return not nearest_after(
        graph, index, lambda n: _stops(n) and n.index != by, through=lambda n: n.operation in _ONWARD or n.index == by
    )


@once_per_graph("nodes")
def _stopped(graph: SignalGraph) -> tuple[bool, ...]:
    """For every node, whether anything but shaping stands between it and an output."""
    return any_after(graph, _stops, through=_ONWARD)


def _stops(reader: Node) -> bool:
    return reader.stage != "loss" and reader.operation not in _ONWARD


def _terms(graph: SignalGraph, product: Node) -> tuple[int, float]:
    """How many products are summed, and what the sum is multiplied by."""
    count, scale = 1, 1.0
    if product.operation is Operation.MATMUL:
        first, second = (math.prod(graph.nodes[i].shape) for i in product.inputs)
        together = math.prod(product.shape) * math.prod(product.shape[:-2])
        count = max(round(math.sqrt(first * second / max(together, 1))), 1)
    here = product
    while len(readers := graph.consumers[here.index]) == 1:
        here = graph.nodes[readers[0]]
        if here.stage == "loss" or here.operation not in _SHAPING:
            break
        if here.operation is Operation.REDUCTION:
            ratio = max(math.prod(graph.nodes[here.inputs[0]].shape) // max(math.prod(here.shape), 1), 1)
            count *= ratio
            scale /= ratio if here.function == "mean" else 1.0
        elif is_scalar(here) and here.operation is Operation.SCALE:
            scale *= here.setting("other")
    return count, scale
