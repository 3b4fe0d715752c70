"""Resized images: every output is a weighted mean of input positions with known weights along every axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gainstage.graph import Node, SignalGraph
from gainstage.propagation.finite_width import FiniteWidth
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.geometry import spatial
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import Signal
from gainstage.theory.activations import Array
from gainstage.theory.images.spatial import Interpolation, resampling_matrix
from gainstage.theory.images.windows import relative

__all__ = ["gathered", "matrices", "resampled"]


def resampled(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a resized image."""
    x = run.algebra.without_parts(operands[0])
    extent = run.extent(node)
    axes = matrices(run.graph, node)
    if not axes:
        return run.algebra.new_source(replace(x, extent=extent, edge_profiles=()))
    pairs, edge_profiles = gathered(x.pairs, x.mean**2, axes, x.edge_profiles)
    own = math.prod(float((w**2).sum(-1).mean()) for w in axes)
    cubes, fourths = (math.prod(float((w**n).sum(-1).mean()) for w in axes) for n in (3, 4))
    found = replace(
        x, pairs=pairs, extent=extent, edge_profiles=edge_profiles, skew=x.skew * cubes / own**1.5,
        excess=x.excess * fourths / own**2, zero=x.zero if own > _COPIED else 0.0,
    )  # fmt: skip
    return run.algebra.new_source(replace(found, finite_width=_finite_width(x, found, axes)))


_COPIED = 1 - 1e-9


def _finite_width(before: Signal, after: Signal, axes: Sequence[Array]) -> FiniteWidth:
    """Return the fluctuations after resizing: positions lie closer and average over a few input positions."""
    wide = [1 + 12 * _scatter(w) for w in axes]
    finite_width = before.finite_width.windowed([math.sqrt(w) for w in wide], [w.shape[1] / w.shape[0] for w in axes])
    one, other = (s.variance / s.pairs.level if s.pairs.level > 0 else 1.0 for s in (before, after))
    return finite_width.scaled(other / one if one > 0 else 0.0)


def _scatter(weights: Array) -> float:
    """Return the mean variance of the positions that one output averages over."""
    places = np.arange(weights.shape[1])
    return float(np.maximum(weights @ places**2 - (weights @ places) ** 2, 0.0).mean())


def matrices(graph: SignalGraph, node: Node) -> tuple[Array, ...]:
    """Return the interpolation weights of every axis, shape (outputs, inputs); empty where input and output axes do not
    match.
    """
    new, old = spatial(node), spatial(graph.nodes[node.inputs[0]])
    if len(new) != len(old) or not new:
        return ()
    kind: Interpolation = node.function if node.function in ("nearest", "cubic") else "linear"  # type: ignore[assignment]
    smooth = kind != "nearest" and bool(node.setting("antialias"))
    return tuple(resampling_matrix(n, m, kind, antialias=smooth) for n, m in zip(old, new, strict=True))


@dataclass(frozen=True, slots=True)
class _Shares:
    """Products of the weights of two outputs along one axis, for the same input position and for any two.

    Args:
        own, all: one output with itself, shape (outputs,).
        step, step_all: two adjacent outputs, mean.
        mean, mean_all: any two outputs, mean.
    """

    own: Array
    all: Array
    step: float
    step_all: float
    mean: float
    mean_all: float


def _shares(weights: Array, profile: Array | None) -> _Shares:
    size = weights.shape[1]
    root = np.ones(size) if profile is None or profile.size != size else np.sqrt(profile)
    rows = weights * root
    own, sums, columns = (rows**2).sum(-1), rows.sum(-1), rows.mean(0)
    if len(rows) < 2:
        return _Shares(own, sums**2, float(own.mean()), float((sums**2).mean()), float(own.mean()), float(sums[0] ** 2))
    step, step_all = float((rows[1:] * rows[:-1]).sum(-1).mean()), float((sums[1:] * sums[:-1]).mean())
    # Moments of pairs are averages over positions.
    return _Shares(own, sums**2, step, step_all, float(columns @ columns), float((sums.mean() / root.mean()) ** 2))


def gathered(
    k: SecondMoments, both: float, axes: Sequence[Array], profiles: Sequence[Array | None] = ()
) -> tuple[SecondMoments, tuple[Array | None, ...]]:
    """Return second moments of weighted sums of positions, and their edge profiles.

    Args:
        k: second moments of the positions.
        both: E x·y of two elements that differ in unit and position.
        axes: weights of every axis, shape (outputs, inputs).
        profiles: edge profile along every axis.
    """
    shares = [_shares(w, profiles[i] if i < len(profiles) else None) for i, w in enumerate(axes)]
    own, total = (math.prod(float(v.mean()) for v in of) for of in ([s.own for s in shares], [s.all for s in shares]))
    # All pairs in a block two wide: the same position, and neighbours.
    block = math.prod((float(s.own.mean()) + s.step) / 2 for s in shares)
    block_all = math.prod((float(s.all.mean()) + s.step_all) / 2 for s in shares)
    anywhere, anywhere_all = math.prod(s.mean for s in shares), math.prod(s.mean_all for s in shares)
    count = math.prod(w.shape[0] for w in axes)

    def apart(same: float, other: float, one: float) -> float:
        """Of two different places."""
        every = anywhere * same + (anywhere_all - anywhere) * other
        return (count * every - one) / (count - 1) if count > 1 else every

    level = own * k.level + (total - own) * k.neighbour
    examples = own * k.examples + (total - own) * k.across_both
    within, blocks = block * k.level + (block_all - block) * k.neighbour, 2 ** len(axes)
    pairs = SecondMoments(
        level, own * k.units + (total - own) * both, apart(k.level, k.positions, level), examples,
        min((blocks * within - level) / (blocks - 1), level), apart(k.examples, k.across_both, examples),
    )  # fmt: skip
    edge_profiles = []
    for i, share in enumerate(shares):
        rest = [s for j, s in enumerate(shares) if j != i]
        mine = share.own * math.prod(float(s.own.mean()) for s in rest)
        every = share.all * math.prod(float(s.all.mean()) for s in rest)
        edge_profiles.append(relative(mine * k.level + (every - mine) * k.neighbour)[1])
    return pairs, tuple(edge_profiles)
