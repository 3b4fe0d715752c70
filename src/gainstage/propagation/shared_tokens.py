"""Keys and values of an attention: what both are made of."""

from __future__ import annotations

from gainstage.graph import Operation, SignalGraph, nearest_after, nearest_before
from gainstage.graph.groups import MASKED_AFFINE

__all__ = ["gate_response", "crowding", "values_of_scores", "width_of_tokens"]


def width_of_tokens(graph: SignalGraph, key: int, value: int) -> int | None:
    """Units of the tokens that both keys and values are made of; None where they are made of different ones.

    Args:
        graph: the model.
        key, value: their nodes.
    """
    found = [
        nearest_before(graph, i, lambda n: n.operation is Operation.LINEAR, through=MASKED_AFFINE) for i in (key, value)
    ]
    if any(len(one) != 1 for one in found):
        return None
    first, second = (graph.nodes[one[0]] for one in found)
    tokens = {nearest_before(graph, n.inputs[0], lambda _: True, through=()) for n in (first, second)}
    return first.kernel.in_ if first.kernel is not None and len(tokens) == 1 else None


def crowding(graph: SignalGraph, key: int, value: int, keys: int) -> float:
    """How much larger a query's gradient is than if keys and values of a token were independent.

    Both are made of the same tokens, of n units: Σ_j (g·v_j) k_j over m of them has the second moment m + m (m - 1)/n.
    """
    width = width_of_tokens(graph, key, value)
    return 1.0 if width is None else 1 + (keys - 1) / width


def gate_response(graph: SignalGraph, key: int, value: int, keys: int, variance: float) -> float:
    """What a row's output gains, in units of a value's own level, since tokens that look alike are looked at alike.

    Scores and values of two tokens have the correlation C of the tokens, E C² = 1/n: over all pairs E C exp(σ² C), less
    than one in m.

    Args:
        graph, key, value, keys: as above.
        variance: σ², of the scores.
    """
    width = width_of_tokens(graph, key, value)
    return 0.0 if width is None else variance * (1 - 1 / keys) / width


def values_of_scores(graph: SignalGraph, scores: int) -> int | None:
    """What the shares that come of scores are multiplied with; None where they are no scores of an attention."""
    for shares in nearest_after(graph, scores, lambda n: n.operation is Operation.SOFTMAX, through=MASKED_AFFINE):
        for product in nearest_after(graph, shares, lambda n: n.operation is Operation.MATMUL, through=MASKED_AFFINE):
            return graph.nodes[product].inputs[-1]
    return None
