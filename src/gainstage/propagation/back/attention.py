"""Backward rules of softmax, attention and products of two signals."""

from __future__ import annotations

import math
from dataclasses import replace

from gainstage.graph import Node
from gainstage.propagation import attention, query_rows
from gainstage.propagation.back.backward_pass import BackwardPass, unknown
from gainstage.propagation.finite_width import INFINITE_WIDTH
from gainstage.propagation.second_moments import Extent, SecondMoments
from gainstage.propagation.shared_tokens import shared_token_factor, values_of_scores
from gainstage.propagation.signal import PendingGradient
from gainstage.theory.attention.moments import Tokens
from gainstage.theory.attention.softmax import log_softmax_moments, softmax_moments

__all__ = ["attended", "product", "softmaxed"]


def softmaxed(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send the gradient through softmax or log softmax."""
    run, index = back.run, node.inputs[0]
    x, shares, plain = run.signals[index], run.signals[node.index], back.evaluated(flow)
    g = plain.base
    axis = int(dict(node.settings).get("axis", len(node.shape) - 1))
    count = node.shape[axis] if axis < len(node.shape) else x.extent.units
    own = max(g.level - g.units, 0.0)
    if node.function == "log_softmax":
        factor = log_softmax_moments(attention.row_variance(x), count).backward
        level = own * factor
    else:
        causal = shares.zero > 0
        factor = softmax_moments(attention.row_variance(x), count, causal=causal).jacobian / count
        level = own * factor
    pairs = SecondMoments(level, -level / max(count - 1, 1), 0.0, 0.0)
    back.send(index, PendingGradient(x.extent, pairs, run.algebra.number(), noise=plain.noise, doubt=plain.doubt))


def product(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send the gradient through a product of two signals."""
    run, plain = back.run, back.evaluated(flow)
    live = [i for i in node.inputs if i in run.signals]
    if node.function == "dynamic_convolution" or not live:
        unknown(back, node, flow)
        return
    if node.index in back.attended:
        return
    first, second = live[0], live[-1]
    x, y = run.algebra.without_parts(run.signals[first]), run.algebra.without_parts(run.signals[second])
    settings = dict(node.settings)
    g = plain.base.scaled(settings.get("factor", 1.0) ** 2)
    out_units = int(settings.get("columns", node.shape[-1] if node.shape else 1))
    rows = int(settings.get("rows", node.shape[-2] if len(node.shape) > 1 else 1))
    left, right = attention.summed_over_units(node, x)
    # dX = G Yᵀ sums over the columns of the product, the positions of y where its units were summed over.
    along = y.pairs.positions if right else y.pairs.units
    level = out_units * (g.level * y.pairs.level + (out_units - 1) * g.units * along)
    if (value := values_of_scores(run.graph, node.index)) is not None:
        level *= shared_token_factor(run.graph, node.inputs[-1], value, out_units)
    between = y.pairs.units if right else y.pairs.positions
    own = out_units * g.level * between  # covariance of two elements in one row of dX
    like = SecondMoments(level, own if left else 0.0, 0.0 if left else own, 0.0)
    if left and y.rows is None:
        like = replace(like, positions=out_units * g.positions * y.pairs.level)
    back.send(first, PendingGradient(run.signals[first].extent, like, run.algebra.number(), noise=plain.noise + y.noise,
                          doubt=plain.doubt))  # fmt: skip
    if (seen := attention.query_rows_of_shares(run, node, x, y)) is not None and x.rows and x.rows.scores is not None:
        before = run.graph.nodes[x.rows.scores]
        width = dict(before.settings).get("contracted", float(run.signals[before.inputs[0]].extent.units))
        q, k = (run.signals[i].pairs.level for i in before.inputs)
        scale = x.rows.score_level / max(width * q * k, 1e-300)  # squared
        through = scale * y.pairs.level * g.level
        targets = [before.inputs[0], before.inputs[-1], second]
        _send_gradient_rows(back, plain, seen, targets, (through * k, through * q), out_units)
        back.attended.add(before.index)
        return
    # dY = Xᵀ G sums over the rows.
    between_rows = x.pairs.positions if left else x.pairs.units
    level = rows * (g.level * x.pairs.level + (rows - 1) * g.positions * between_rows)
    tokens = rows * (g.level * (x.pairs.units if left else x.pairs.positions))
    if x.rows is not None:  # one gradient reaches all attention weights of a row
        tokens = rows * g.level * x.pairs.units + rows * (rows - 1) * g.positions * x.mean**2
    like = SecondMoments(level, 0.0, tokens if not right else rows * g.units * x.pairs.level, 0.0)
    noise = plain.noise + x.noise
    back.send(
        second,
        PendingGradient(run.signals[second].extent, like, run.algebra.number(), noise=noise, doubt=plain.doubt),
    )


def attended(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send the gradient through fused attention to queries, keys and values."""
    run, plain = back.run, back.evaluated(flow)
    live = [i for i in node.inputs if i in run.signals]
    heads = attention.heads_of(run, node, [run.signals[i] for i in live])
    rows = attention.attention_of(heads)
    g, q, k, v = plain.base, heads.query.pairs, heads.key.pairs, heads.value.pairs

    def tokens(pairs: SecondMoments) -> Tokens:
        return Tokens(pairs.level, min(max(pairs.positions / pairs.level, 0.0), 1.0) if pairs.level > 0 else 0.0)

    found = rows.gradients(
        tokens(g), query=q.level, key=tokens(k), value=tokens(v), width=heads.width, scale=heads.scale,
        value_width=node.shape[-1],
    )  # fmt: skip
    targets = (live * 3)[:3] if len(live) == 1 else (live if len(live) == 3 else [live[0], live[1], live[1]])
    overlap = rows.overlap if math.isfinite(rows.overlap) else rows.concentration
    pairs_of_keys = max(heads.keys * (heads.keys - 1), 1)
    shared = heads.rows * g.level * (1 - rows.concentration) / pairs_of_keys
    shared += heads.rows * (heads.rows - 1) * g.positions * (1 - overlap) / pairs_of_keys
    if (seen := attention.fused_query_rows(run, node, heads)) is not None:
        through = heads.scale**2 * v.level * g.level
        _send_gradient_rows(back, plain, seen, targets, (through * k.level, through * q.level), node.shape[-1])
        return
    query = found.query * shared_token_factor(
        run.graph, node.inputs[min(1, len(node.inputs) - 1)], node.inputs[-1], heads.keys
    )
    for index, level, positions in zip(targets, (query, found.key, found.value), (0.0, 0.0, shared), strict=True):
        like = SecondMoments(level, 0.0, min(positions, level), 0.0)
        moved = PendingGradient(plain.extent, like, run.algebra.number(), noise=plain.noise, doubt=plain.doubt)
        signal = run.signals[index]
        copies = plain.extent.count * heads.keys / heads.rows / max(signal.extent.count, 1)
        if index != targets[0] and copies > 1.5:  # heads share their keys and values
            moved = replace(moved, base=like.scaled(copies))
        back.send(index, replace(moved, extent=signal.extent))


def _send_gradient_rows(
    back: BackwardPass,
    plain: PendingGradient,
    seen: query_rows.QueryRows,
    targets: list[int],
    factors: tuple[float, float],
    width: int,
) -> None:
    """Send each token the gradients of the rows that attend to it."""
    levels = (*factors, plain.base.level)
    found = query_rows.gradient_rows(seen, plain, width)
    query, places = found[0][0], seen.value.places
    extent = Extent(max(plain.extent.count // (places * plain.extent.examples), 1), places, plain.extent.examples)
    # The number of independent products of gradient and value in a row is its effective number of keys, 1 / E Σ a².
    effective = query.mean(query.level * seen.rows.concentration)
    # Gradients at scores depend on the part of keys and values that tokens do not share.
    value = back.run.signals[targets[2]]
    ratio = value.pairs.positions / max(value.pairs.level - value.pairs.positions, 1e-300)
    covariance_noise = value.covariance_noise.reduced_by(
        value.pairs.covariance_variance(replace(extent, examples=value.extent.examples))
    )
    for place, (index, (sequence, level), factor) in enumerate(zip(targets, found, levels, strict=True)):
        signal = back.run.signals[index]
        copies = plain.extent.count / max(signal.extent.count, 1)
        shared = copies if place and copies > 1.5 else 1.0  # heads share their keys and values
        base = sequence.imposed_on(SecondMoments(level * factor * shared))
        mean_squared_correlation = base.mean_squared_correlation(extent, sequence.mean_squared_correlation)
        if place < 2:
            own = 2 * mean_squared_correlation * effective * width / extent.units
            noise = (
                plain.noise + back.run.signals[targets[1 - place]].noise + value.noise - covariance_noise * (2 * ratio)
            )
        else:
            # The gradient is a sum of few independent products, which are now weighted differently.
            few = plain.finite_width.correlation_variance + 1 / extent.units
            within = None if plain.sequence is None else plain.sequence.mean_squared_correlation
            own, noise = (
                2 * few * max(mean_squared_correlation - plain.base.mean_squared_correlation(extent, within), 0.0),
                plain.noise,
            )
        noise = noise.with_cause(back.run.algebra.cause(), own)
        along = sequence if sequence.counts.size > 1 else None
        back.send(
            index,
            PendingGradient(
                signal.extent,
                base,
                back.run.algebra.number(),
                noise=noise,
                sequence=along,
                finite_width=plain.finite_width if place == 2 else INFINITE_WIDTH,
                doubt=plain.doubt,
            ),
        )
