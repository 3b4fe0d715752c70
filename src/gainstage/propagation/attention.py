"""Softmax, attention and products of two signals in the forward pass."""

from __future__ import annotations

import math
from dataclasses import replace

from gainstage.graph import Node, Operation, SignalGraph, nearest_after, nearest_before
from gainstage.graph.groups import MASKED_AFFINE
from gainstage.propagation import query_rows
from gainstage.propagation.draw_variance import DrawVariance
from gainstage.propagation.finite_width import INFINITE_WIDTH
from gainstage.propagation.forward_pass import ForwardPass, doubtful
from gainstage.propagation.second_moments import Extent, SecondMoments
from gainstage.propagation.shared_tokens import shared_token_gain
from gainstage.propagation.signal import Signal, SoftmaxRows, broadcast_to
from gainstage.theory.attention.moments import AttentionMoments, attention_concentration, attention_moments
from gainstage.theory.attention.softmax import log_softmax_moments

__all__ = [
    "Heads",
    "attention",
    "attention_of",
    "fused_query_rows",
    "query_rows_of_shares",
    "heads_of",
    "masks_scores",
    "product",
    "row_variance",
    "softmax",
    "summed_over_units",
]

_FEW_QUERIES = "its queries are some of several kinds of tokens, whose gradients are taken for their mean"
_STEEPEST = 1e4  # above this score variance a softmax is one-hot


class Heads:
    """The queries, keys and values of a fused attention, and its geometry."""

    def __init__(self, node: Node, operands: list[Signal]) -> None:
        self.query, self.key, self.value = (operands * 3)[:3] if len(operands) < 3 else operands[:3]
        if len(operands) == 2:  # keys and values are one tensor
            self.value = operands[1]
        settings = dict(node.settings)
        width = node.shape[-1] if node.shape else 1
        self.width = int(settings.get("width", width))
        self.keys = int(settings.get("keys", node.shape[-2] if len(node.shape) > 1 else 1))
        self.rows = int(settings.get("rows", node.shape[-2] if len(node.shape) > 1 else 1))
        self.scale = settings.get("scale", self.width**-0.5)
        self.causal = bool(settings.get("causal")) and self.rows == self.keys
        self.masked = bool(settings.get("masked"))
        self.ordered = bool(settings.get("ordered"))
        self.dropped = settings.get("p", 0.0)


def heads_of(run: ForwardPass, node: Node, operands: list[Signal]) -> Heads:
    """Return queries, keys and values of a fused attention, with tokens as positions."""
    heads = Heads(node, [run.algebra.without_parts(x) for x in operands])
    if heads.masked and not heads.causal and heads.rows == heads.keys:
        heads.causal = True
    return heads


def attention_of(heads: Heads) -> AttentionMoments:
    """Return the moments of the attention weights."""
    q, k = heads.query.pairs, heads.key.pairs
    variance = heads.scale**2 * heads.width * q.level * max(k.level - k.positions, 0.0)
    alike = q.positions / q.level if q.level > 0 else 0.0
    return attention_moments(
        min(variance, _STEEPEST),
        heads.keys,
        queries=heads.rows,
        causal=heads.causal,
        correlation=min(max(alike, -1.0), 1.0),
    )


def fused_query_rows(run: ForwardPass, node: Node, heads: Heads) -> query_rows.QueryRows | None:
    """Return the rows of a fused attention one by one; None where queries and keys are of different sequences."""
    if heads.rows != heads.keys or heads.keys < 2:
        return None
    variance = heads.scale**2 * heads.width * heads.query.pairs.level * heads.key.pairs.level
    operands = (heads.query, heads.key, heads.value)
    width, keep = _source_width(run.graph, node.inputs[-1]), 1 - (heads.dropped if run.training else 0.0)
    return query_rows.rows_of(operands, heads.keys, variance, causal=heads.causal, width=width, keep=keep)


def query_rows_of_shares(run: ForwardPass, node: Node, shares: Signal, value: Signal) -> query_rows.QueryRows | None:
    """Return the rows of an attention written as separate operations: scores, softmax and product with the values."""
    rows = shares.rows
    if rows is None or rows.scores is None:
        return None
    before = run.graph.nodes[rows.scores]
    query, key = (run.algebra.without_parts(run.signals[i]) for i in (before.inputs[0], before.inputs[-1]))
    width = _source_width(run.graph, node.inputs[-1])
    return query_rows.rows_of(
        (query, key, value), rows.keys, rows.score_level, causal=rows.causal, width=width, keep=rows.keep
    )


def _source_width(graph: SignalGraph, value: int) -> float:
    """Return the number of units of the tokens that values are projected from; 0 where unknown."""
    found = nearest_before(graph, value, lambda n: n.operation is Operation.LINEAR, through=MASKED_AFFINE)
    kernel = graph.nodes[found[0]].kernel if len(found) == 1 else None
    return float(kernel.in_) if kernel is not None else 0.0


def _seen(
    run: ForwardPass, out: Signal, value: Signal, scores: DrawVariance, seen: query_rows.QueryRows | None
) -> Signal:
    """Return an attention's output from its rows, one by one.

    Args:
        run: the forward pass.
        out: the output when all rows are treated alike.
        value: the values that are averaged.
        scores: draw-to-draw variance of the scores' second moment.
        seen: the rows; None where they are unknown, which returns ``out``.
    """
    if seen is None:
        return out
    sequence, share = query_rows.attended_rows(seen)
    pairs = sequence.imposed_on(replace(out.pairs, level=share * value.pairs.level))
    places = seen.value.places
    extent = Extent(max(out.extent.count // (places * out.extent.examples), 1), places, out.extent.examples)
    # An average of values averages their inputs too: a few different averages scatter more than many values.
    shared = query_rows.shared_part(seen, sequence, share)
    one = Extent(extent.units, places, value.extent.examples)
    covariance_noise = value.covariance_noise.reduced_by(value.pairs.covariance_variance(one))
    noise = value.inherited * (1 - shared) + covariance_noise * shared + scores * query_rows.response(seen, share)
    noise = noise.with_cause(
        run.algebra.cause(),
        2 * pairs.mean_squared_correlation(extent, sequence.mean_squared_correlation) / extent.units,
    )
    alike = min((value.pairs.examples / value.pairs.level) ** 2, 1.0) if value.pairs.level > 0 else 0.0
    same = 1 / extent.examples + (1 - 1 / extent.examples) * alike
    noise = noise.with_cause(run.algebra.cause(), seen.scatter * same * query_rows.by_chance(seen, share))
    covariance_noise = covariance_noise.with_cause(run.algebra.cause(), pairs.covariance_variance(extent))
    sequence_kept = sequence if sequence.counts.size > 1 else None
    return replace(
        out, pairs=pairs, sequence=sequence_kept, noise=noise, inherited=noise, covariance_noise=covariance_noise
    )


def attention(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict softmax(q kᵀ) v as one operation."""
    heads = heads_of(run, node, operands)
    found = attention_of(heads)
    v = heads.value
    keep = 1 - (heads.dropped if run.training else 0.0)
    own = max(v.pairs.level - v.pairs.positions, 0.0)
    overlap = found.overlap if math.isfinite(found.overlap) else found.concentration
    level = v.pairs.positions + own * found.concentration + (1 / keep - 1) * found.concentration * v.pairs.level
    across_both, alike = v.pairs.across_both, v.pairs.examples - v.pairs.across_both
    pairs = SecondMoments(
        level, v.pairs.units, v.pairs.positions + own * overlap,
        across_both + alike * _same_row(found, heads.query.pairs), across_both=across_both + alike * overlap,
    )  # fmt: skip
    doubt = ""
    if heads.rows != heads.keys and any(s.sequence is not None for s in (heads.query, heads.key, heads.value)):
        doubt = doubtful(node, _FEW_QUERIES)
    if heads.masked and not heads.ordered:
        doubt = doubtful(node, "a square mask, whose values are not known, is taken to be causal")
    signal = replace(
        v, pairs=pairs, extent=run.extent(node), skew=0.0, excess=0.0, edge_profiles=(), zero=0.0, sequence=None
    )
    signal = replace(signal, inherited=signal.noise, doubt=v.doubt or doubt)
    seen, sources = fused_query_rows(run, node, heads), [i for i in node.inputs if i in run.signals]
    if seen is None and len(sources) > 1:
        variance = heads.scale**2 * heads.width * heads.query.pairs.level * heads.key.pairs.level
        gain = shared_token_gain(run.graph, sources[1], sources[-1], heads.keys, variance)
        signal = replace(signal, pairs=replace(signal.pairs, level=signal.pairs.level + gain * own))
    return run.algebra.new_source(_seen(run, signal, v, heads.query.noise + heads.key.noise, seen))


def _same_row(found: AttentionMoments, query: SecondMoments) -> float:
    """Return E Σ_j a_j a'_j of one row in two examples: between uniform and concentrated, by the similarity of the
    queries.
    """
    uniform = attention_concentration(0.0, found.tokens, causal=found.softmax.causal)
    alike = min(max(query.examples / query.level, 0.0), 1.0) if query.level > 0 else 1.0
    return float(uniform * (found.concentration / uniform) ** alike)


def masks_scores(graph: SignalGraph, node: Node) -> bool:
    """Report whether a mask is applied to the scores of a softmax, so that its values are not part of the signal."""
    readers = nearest_after(graph, node.index, lambda n: n.operation is Operation.SOFTMAX, through=MASKED_AFFINE)
    return bool(readers)


def row_variance(x: Signal) -> float:
    """Return the variance of scores within one row; a constant shared by the row does not change a softmax."""
    return min(max(x.pairs.level - x.pairs.units, 0.0), _STEEPEST)


def softmax(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict attention weights, or their logarithms."""
    x = run.algebra.without_parts(operands[0])
    axis = int(dict(node.settings).get("axis", len(node.shape) - 1))
    count = node.shape[axis] if axis < len(node.shape) else x.extent.units
    variance = row_variance(x)
    extent = run.extent(node)
    if node.function == "log_softmax":
        found = log_softmax_moments(variance, count)
        pairs = SecondMoments(found.second_moment, found.mean**2, found.mean**2, found.mean**2)
        return run.algebra.new_source(replace(x, pairs=pairs, mean=found.mean, extent=extent, excess=0.0, skew=0.0))
    hidden = _masked_before(run.graph, node)
    masked = bool(hidden) and _square(node)
    alike = x.correlation(x.pairs.positions)
    rows = attention_moments(
        variance, count, queries=max(count if _square(node) else x.extent.positions, 1), causal=masked,
        correlation=min(max(alike, -1.0), 1.0),
    )  # fmt: skip
    shared = rows.overlap if math.isfinite(rows.overlap) else rows.concentration
    mean = 1 / count
    pairs = SecondMoments(
        rows.concentration / count,
        (1 - rows.concentration) / (count * max(count - 1, 1)),
        shared / count,
        _same_row(rows, x.pairs) / count,
        across_both=mean**2,
    )
    treated = "is taken to be causal" if masked else "is left out"
    known = hidden == "causal" and masked
    doubt = doubtful(node, f"a mask, whose values are not known, {treated}") if hidden and not known else ""
    shares = replace(
        x,
        pairs=pairs,
        mean=mean,
        extent=extent,
        skew=0.0,
        excess=0.0,
        zero=0.5 * (1 - mean) if masked else 0.0,
        rows=SoftmaxRows(count, rows.concentration, variance, x.pairs.level, _scores(run, node), masked),
        edge_profiles=(),
        sequence=None,
        doubt=x.doubt or doubt,
    )
    return run.algebra.new_source(shares)


def _scores(run: ForwardPass, node: Node) -> int | None:
    """Return the node that multiplied queries with keys of one sequence; None where there is none."""
    found = nearest_before(run.graph, node.inputs[0], lambda n: n.operation is Operation.MATMUL, through=MASKED_AFFINE)
    if len(found) != 1 or not _square(node):
        return None
    before = run.graph.nodes[found[0]]
    known = before.function != "dynamic_convolution" and all(i in run.signals for i in before.inputs)
    return found[0] if known and len(before.inputs) == 2 else None


def _square(node: Node) -> bool:
    return len(node.shape) >= 2 and node.shape[-1] == node.shape[-2] > 1


def _masked_before(graph: SignalGraph, node: Node) -> str:
    """Return the kind of mask that is applied to the scores, or to a bias of the scores: ``causal``, or ``unknown``
    where its values are not known; empty where there is none.
    """
    waiting, seen = list(node.inputs), set[int]()
    while waiting:
        here = graph.nodes[waiting.pop()]
        if here.index in seen or here.operation not in MASKED_AFFINE:
            continue
        seen.add(here.index)
        if here.function == "padding":  # which tokens it hides is unknown, and most are present
            waiting.extend(here.inputs)
            continue
        single = len(here.inputs) == 1 and not here.uses and "other" not in dict(here.settings)
        if here.operation is Operation.MASK or (here.operation is Operation.OFFSET and single):
            return here.function if here.function == "causal" else "unknown"
        waiting.extend(here.inputs)
    return ""


def product(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a product of two signals that sums over an axis: q kᵀ, attention weights times values, and others."""
    if node.function == "dynamic_convolution":
        x = replace(run.algebra.without_parts(operands[0]), extent=run.extent(node))
        return replace(run.algebra.new_source(x), doubt=doubtful(node, "its kernel depends on the input"))
    x, y = run.algebra.without_parts(operands[0]), run.algebra.without_parts(operands[-1])
    settings = dict(node.settings)
    count = settings.get("contracted", float(x.extent.units))
    over_units = summed_over_units(node, x)
    left, right = _summed(x, over_units[0]), _summed(y, over_units[1])
    a, b = broadcast_over_examples(left, run), broadcast_over_examples(right, run)
    rest = count * (count - 1)
    both_a = (1 - left.pairs.positions * count) / rest if x.rows and rest else a.mean**2
    pairs = SecondMoments(
        count * a.pairs.level * b.pairs.level + rest * a.pairs.units * b.pairs.units,
        # Two units of the product share the first factor, two positions the second factor.
        count * a.pairs.level * b.pairs.positions + rest * a.pairs.units * b.mean**2,
        count * a.pairs.positions * b.pairs.level + rest * both_a * b.pairs.units,
        count * a.pairs.examples * b.pairs.examples + rest * a.mean**2 * b.pairs.examples,
        across_both=count * a.pairs.across_both * b.pairs.across_both + rest * a.mean**2 * b.pairs.across_both,
    )
    if x.rows:  # attention weights sum to 1 in every row
        alike = count * x.pairs.examples
        between = y.pairs.examples - y.pairs.across_both
        pairs = replace(
            pairs, units=y.pairs.units, examples=y.pairs.across_both + alike * between,
            across_both=y.pairs.across_both + count * x.pairs.positions * between,
        )  # fmt: skip
    noise = y.noise if x.rows else x.noise + y.noise
    factor = settings.get("factor", 1.0)  # of baddbmm, which adds another tensor
    pairs, mean = pairs.scaled(factor**2), factor * count * a.mean * b.mean
    # An average of tokens is over the same units, so finite-width fluctuations stay.
    finite_width = y.finite_width if x.rows else INFINITE_WIDTH
    signal = Signal(
        run.extent(node), pairs, mean, noise=noise, inherited=noise, finite_width=finite_width, doubt=x.doubt or y.doubt
    )
    seen = query_rows_of_shares(run, node, x, y)
    if seen is None and y.sequence is not None and nearest_before(
        run.graph, node.inputs[0], lambda n: n.operation is Operation.SOFTMAX,
        through=MASKED_AFFINE | {Operation.LINEAR},
    ):  # fmt: skip
        signal = replace(signal, doubt=signal.doubt or doubtful(node, _FEW_QUERIES))
    if seen is None and x.rows is not None and (scores := _scores_of(run, node)) is not None:
        own = max(y.pairs.level - y.pairs.positions, 0.0)
        gain = shared_token_gain(run.graph, scores.inputs[-1], node.inputs[-1], x.rows.keys, x.rows.score_variance)
        signal = replace(signal, pairs=replace(signal.pairs, level=signal.pairs.level + gain * own))
    return run.algebra.new_source(_seen(run, signal, y, x.noise, seen))


def _scores_of(run: ForwardPass, node: Node) -> Node | None:
    """Return the product of queries and keys whose softmax this node multiplies with values."""
    for index in nearest_before(
        run.graph, node.inputs[0], lambda n: n.operation is Operation.SOFTMAX, through=MASKED_AFFINE
    ):
        found = nearest_before(
            run.graph,
            run.graph.nodes[index].inputs[0],
            lambda n: n.operation is Operation.MATMUL,
            through=MASKED_AFFINE,
        )
        if len(found) == 1:
            return run.graph.nodes[found[0]]
    return None


def summed_over_units(node: Node, first: Signal) -> tuple[bool, bool]:
    """Report for both factors whether a product sums over their units: q kᵀ does for both, weights times values for
    neither of the keys.
    """
    settings = dict(node.settings)
    shares = first.rows is not None
    return bool(settings.get("first_units", 1.0)), bool(settings.get("second_units", float(not shares)))


def broadcast_over_examples(x: Signal, run: ForwardPass) -> Signal:
    """Return a factor repeated over the examples where it is the same for all of them."""
    return broadcast_to(x, Extent(1, 1, run.examples))


def _summed(x: Signal, over_units: bool) -> Signal:
    """Return the factor with the summed axis as its units."""
    if over_units:
        return x
    extent = replace(x.extent, units=x.extent.positions, positions=x.extent.units)
    return replace(x, extent=extent, pairs=replace(x.pairs, units=x.pairs.positions, positions=x.pairs.units))
