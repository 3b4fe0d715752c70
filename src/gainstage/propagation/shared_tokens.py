"""Corrections for attention whose keys and values are projections of the same tokens."""

from __future__ import annotations

from gainstage.graph import Operation, SignalGraph, nearest_after, nearest_before
from gainstage.graph.groups import MASKED_AFFINE

__all__ = ["shared_token_gain", "shared_token_factor", "values_of_scores", "width_of_tokens"]


def width_of_tokens(graph: SignalGraph, key: int, value: int) -> int | None:
    """Return the number of units of the tokens from which keys and values are projected; None where they are different.

    Args:
        graph: the model.
        key, value: node indices.
    """
    found = [
        nearest_before(graph, i, lambda n: n.operation is Operation.LINEAR, through=MASKED_AFFINE) for i in (key, value)
    ]
    if any(len(one) != 1 for one in found):
        return None
    first, second = (graph.nodes[one[0]] for one in found)
    tokens = {nearest_before(graph, n.inputs[0], lambda _: True, through=()) for n in (first, second)}
    return first.kernel.in_ if first.kernel is not None and len(tokens) == 1 else None


def shared_token_factor(graph: SignalGraph, key: int, value: int, keys: int) -> float:
    """Return the factor on a query's gradient compared with independent keys and values.

    For m keys projected from tokens of n units, Σ_j (g·v_j) k_j has the second moment m + m (m - 1)/n.
    """
    width = width_of_tokens(graph, key, value)
    return 1.0 if width is None else 1 + (keys - 1) / width


def shared_token_gain(graph: SignalGraph, key: int, value: int, keys: int, variance: float) -> float:
    """Return the second moment that attention's output gains because similar tokens get similar attention weights.

    Scores and values of two tokens share the tokens' correlation C with E C² = 1/n, so over all pairs E C exp(σ² C) =
    σ²/n. The gain is relative to the part of the values that tokens do not share.

    Args:
        graph, key, value, keys: as above.
        variance: σ², variance of the scores.
    """
    width = width_of_tokens(graph, key, value)
    return 0.0 if width is None else variance * (1 - 1 / keys) / width


def values_of_scores(graph: SignalGraph, scores: int) -> int | None:
    """Return the node that attention weights from these scores multiply; None where there is no attention."""
    for shares in nearest_after(graph, scores, lambda n: n.operation is Operation.SOFTMAX, through=MASKED_AFFINE):
        for product in nearest_after(graph, shares, lambda n: n.operation is Operation.MATMUL, through=MASKED_AFFINE):
            return graph.nodes[product].inputs[-1]
    return None
