"""Normalizations in the forward pass: mean and variance over many elements count as known numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from gainstage.graph import Node, Operation
from gainstage.propagation.blocks import NO_VARIATION, Block, InverseVariance, Variation, block_of, inverse_variance
from gainstage.propagation.correlated_taps import of_alike_taps
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import Signal
from gainstage.propagation.weighted import overlaps
from gainstage.propagation.weights import scale_of
from gainstage.theory.activations import Array
from gainstage.theory.images.windows import Overlap

__all__ = ["UNCENTRED", "Division", "divided_by", "division", "mean_inverse", "normalization"]

_MANY = 200.0
_HEAVIEST = 3.0  # Edgeworth's series fails beyond this excess kurtosis
UNCENTRED = frozenset({"rms_norm", "unit_norm"})
"""Normalizations that take no mean off."""


@dataclass(frozen=True, slots=True)
class Division:
    """Statistics of one normalization (x - μ) / √(σ² + ε) · γ.

    Args:
        taken: second moments that subtracting the mean removes.
        variance: E σ².
        eps: ε.
        over: number of elements that share one statistic.
        scale, scale_mean: E γ² and E γ.
        frozen: whether stored statistics are used.
        channel_variance: relative variance of σ² between channels.
        few: E σ² · E 1/σ² of the part of σ² with few degrees of freedom: taps missing at image borders.
        block: the elements of one example that share the statistic; None for batch norm.
        variation: variation of σ² between such blocks.
    """

    taken: SecondMoments
    variance: float
    eps: float
    over: float
    scale: float
    scale_mean: float
    frozen: bool = False
    channel_variance: float = 0.0
    few: float = 1.0
    block: Block | None = None
    variation: Variation = NO_VARIATION

    @property
    def factor(self) -> float:
        """The factor 1 / (σ² + ε) on second moments of the signal."""
        return 1 / (self.variance + self.eps) if self.variance + self.eps > 0 else 0.0

    @property
    def inverse(self) -> InverseVariance:
        """Moments of 1 / (σ² + ε), the factor on second moments of gradients."""
        if self.block is not None:
            usual = self.variance * (1 - self.variation.common)
            return inverse_variance(usual, self.eps, self.variation.freedom)
        more = self.few / (1 - min(self.channel_variance, 0.7))  # E 1/σ² exceeds 1 / E σ²
        whole = self.variance / more + self.eps
        return InverseVariance(1 / whole if whole > 0 else 0.0, 0.0, 0.0)

    @property
    def centres(self) -> bool:
        """Report whether the mean is subtracted."""
        return self.taken.level > 0


def division(run: ForwardPass, node: Node, x: Signal) -> Division:
    """Compute the statistics of a normalization of ``x``."""
    eps = node.setting("eps", 1e-5)
    scales = [scale_of(run.graph, use, run.weights) for use in node.uses_of("scale")]
    scale = scales[0].second_moment if scales else 1.0
    scale_mean = scales[0].mean if scales else 1.0
    if node.function == "batch_norm":
        return _of_a_batch(run, node, x, Division(SecondMoments(0.0), 1.0, eps, 1.0, scale, scale_mean, frozen=True))
    block = block_of(node, x.extent)
    uncentred = node.function in UNCENTRED
    if node.function == "unit_norm":  # unit length: the squares of all elements sum to 1
        scale, scale_mean = scale / block.count, scale_mean / math.sqrt(block.count)
    taken = SecondMoments(0.0) if uncentred else block.means(x.pairs, x.mean**2)
    centred = x.pairs.zip(taken, lambda pair, mean: pair - mean)
    variation = block.variation(x, centred, means=0.0 if uncentred else 1.0)
    left = max(centred.level, 0.0)
    return Division(taken, left, eps, block.count, scale, scale_mean, block=block, variation=variation)


def _of_a_batch(run: ForwardPass, node: Node, x: Signal, stored: Division) -> Division:
    """Compute the statistics of a batch norm: one mean and one variance per channel, over examples and positions."""
    if node.setting("training", 1.0) == 0:
        return stored
    mean = x.pairs.batch_mean_square(x.extent)
    taken, left = SecondMoments(mean, x.mean**2, mean, mean), max(x.pairs.level - mean, 0.0)
    share, numbers = _of_few(run, node, x, left)
    few = mean_inverse(share, numbers) if share >= 1e-3 and numbers > 0 else 1.0
    return replace(
        stored, taken=taken, variance=left, over=float(x.extent.examples * x.extent.positions), frozen=False,
        channel_variance=_channel_variance(run, node, x, taken, share), few=few * of_alike_taps(run, node),
    )  # fmt: skip


def divided_by(x: Signal, by: Division) -> Array | None:
    """Return (σ² + ε) by token position divided by its mean, shape (segments,); None where positions are alike."""
    if x.sequence is None or by.block is None or by.block.positions > 1:
        return None
    whole = by.variance + by.eps
    return (by.variance * x.sequence.level + by.eps) / whole if whole > 0 else None


def _channel_variance(run: ForwardPass, node: Node, x: Signal, taken: SecondMoments, share: float) -> float:
    """Return the relative variance of σ² between channels, 2 over the effective number of observations.

    Args:
        share: share s of the mean field in the variance. With v = (1 - s) a + s b and Cov(a, b) = Var a, grouped
            weights add (1 + s) / (1 - s) Var a.
    """
    own = x.pairs.zip(taken, lambda pair, mean: pair - mean)
    if _overlaps(run, node, x)[0]:  # the covariance of examples at one position is the mean field
        own = replace(own, examples=own.across_both)
    if not own.level > 0:
        return 0.0
    both = x.finite_width.grouped_variance * ((1 + share) / (1 - share) - 1)
    return 2 * (
        own.mean_squared_correlation(x.extent)
        + (x.finite_width.correlation_variance + both) * (x.pairs.level / own.level) ** 2
    )


def _overlaps(run: ForwardPass, node: Node, x: Signal) -> tuple[list[Overlap], float]:
    """Return shared taps by axis right behind a convolution, and E x·y of two positions without missing taps."""
    producer = run.graph.nodes[node.inputs[0]]
    source = run.signals.get(producer.inputs[0]) if producer.operation is Operation.CONVOLUTION else None
    axes = overlaps(producer, source) if source is not None and producer.function != "transposed" else []
    whole = math.prod(a.mean for a in axes)
    return (
        (axes, max(x.pairs.across_both, 0.0) / whole) if len(axes) == len(x.edge_profiles) and whole > 0 else ([], 0.0)
    )


def _of_few(run: ForwardPass, node: Node, x: Signal, left: float) -> tuple[float, float]:
    """Return the share of a channel's variance due to its mean field near borders, and the field's degrees of freedom.

    The field falls where taps are missing. It is a sum over taps of one number each, so its variance over positions is
    a quadratic form of few numbers, approximated by a χ² with the same mean and variance.
    """
    axes, field = _overlaps(run, node, x)
    if not axes or not left > 0:
        return 0.0, 0.0
    mean = math.prod(a.mean for a in axes)
    square = math.prod(a.square for a in axes) - 2 * math.prod(float((a.cross**2).mean()) for a in axes) + mean**2
    share = field / left * (math.prod(float(a.own.mean()) for a in axes) - mean)
    numbers = (share * left / field) ** 2 / square if square > 0 and field > 0 else 0.0
    return min(max(share, 0.0), 0.95), numbers


def mean_inverse(share: float, numbers: float) -> float:
    """Return E 1 / (1 - s + s χ²_k / k).

    Args:
        share: s, below 1.
        numbers: k, degrees of freedom, positive.
    """
    if numbers > _MANY:  # the χ² is narrow, and its Gauss-Laguerre weights overflow
        return 1 + 2 * share**2 / numbers
    from scipy.special import roots_genlaguerre

    z, weight = roots_genlaguerre(32, numbers / 2 - 1)
    return float(weight / weight.sum() @ (1 / (1 - share + share * z * 2 / numbers)))


def _tails(x: Signal, by: Division, edge_profiles: tuple[Array | None, ...]) -> float:
    """Return the excess kurtosis behind batch norm.

    Within a channel, E z⁴ / v² = 3 (1 + Var K) / (1 + Var v), where K is the second moment of an observation and v the
    channel's variance: unequal observations make tails heavy, unequal channels light.
    """
    along = math.prod(float((b**2).mean()) for b in edge_profiles if b is not None)
    loud = x.finite_width.total_square_variance * (x.pairs.level / by.variance) ** 2
    heavy = (1 + loud) * along / (1 + by.channel_variance)
    return min(x.excess + 3 * (heavy - 1), _HEAVIEST)


def _of_equal_length(excess: float, by: Division) -> float:
    """Return the excess kurtosis of elements whose squares sum to a constant over a block.

    Of k independent Gaussian values divided by their norm, E z⁴ = 3k / (k + 2), so that two values around their mean
    are ±1.
    """
    k = max(by.over - by.centres, 1.0)
    return (3 + excess) * k / (k + 2) - 3


def _centred(run: ForwardPass, node: Node, x: Signal, left: float) -> tuple[Array | None, ...]:
    """Return the edge profiles when every channel's mean is subtracted.

    A channel's mean field falls towards the borders: in proportion to the signal, or, right behind a convolution,
    because taps are missing.

    Args:
        left: second moment after subtracting the means.
    """
    level = x.pairs.level
    axes, field = _overlaps(run, node, x)
    if not axes or not level > 0:
        share = max(1 - left / level, 0.0) if level > 0 else 0.0
        return tuple(
            None if b is None else _relative((1 - share) * b + share * (np.sqrt(b) - np.sqrt(b).mean()) ** 2)
            for b in x.edge_profiles
        )
    found = []
    for place, (border, axis) in enumerate(zip(x.edge_profiles, axes, strict=True)):
        others = [a for index, a in enumerate(axes) if index != place]
        mean = math.prod(a.mean for a in others)
        taken = 2 * axis.cross * mean - axis.mean * mean  # E 2 m m_p - m², of a field with E m_p m_p' = S(p, p')
        whole = level * (border if border is not None else np.ones(axis.own.size))
        found.append(_relative(np.maximum(whole - field * taken, 0.0)))
    return tuple(found)


def _relative(border: Array | None) -> Array | None:
    if border is None or not border.mean() > 0:
        return None
    return np.asarray(border / border.mean())


def normalization(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict (x - μ) / √(σ² + ε) · γ + β."""
    x = operands[0]
    if x.parts and node.function == "batch_norm":
        parts = tuple(_normalised(run, node, part) for part in x.parts)
        return replace(run.algebra.concatenated(parts, x), extent=run.extent(node))
    return run.placed(node, _normalised(run, node, run.algebra.without_parts(x)))


def _scaled_and_shifted(
    run: ForwardPass, node: Node, x: Signal, centred: SecondMoments, found: Division
) -> tuple[SecondMoments, float]:
    """Return second moments and mean behind the division, the scale γ and the shift β."""
    scaled = centred.scaled(found.factor * found.scale)
    # Two units of one position have different γ; all other pairs share the unit and its γ.
    pairs = replace(scaled, units=centred.units * found.factor * found.scale_mean**2)
    mean = 0.0
    if node.function in UNCENTRED or found.frozen:
        mean = x.mean * found.factor**0.5 * found.scale_mean
    for use in node.uses_of("shift"):
        shift = scale_of(run.graph, use, run.weights)
        if shift.second_moment > 0:
            pairs = pairs + SecondMoments(shift.second_moment, shift.mean**2, shift.second_moment, shift.second_moment)
            mean += shift.mean
    return pairs, mean


def _normalised(run: ForwardPass, node: Node, x: Signal) -> Signal:
    found = division(run, node, x)
    factor = found.factor
    centred = x.pairs.zip(found.taken, lambda pair, taken: pair - taken)
    pairs, mean = _scaled_and_shifted(run, node, x, centred, found)
    starved = found.variance <= found.eps
    # Dividing by σ² removes the draw-to-draw variance of the level, unless ε dominates σ².
    noise = x.noise if found.frozen or starved else x.noise * (found.eps * factor)
    single = found.block is not None and found.block.positions == 1  # every observation gets the same second moment
    edge_profiles = () if single else x.edge_profiles
    if node.function == "batch_norm" and not found.frozen and x.pairs.level > 0:
        edge_profiles = _centred(run, node, x, centred.level)
    finite_width = x.finite_width if found.frozen else x.finite_width.scaled(factor * x.pairs.level)
    # The covariance between tokens is divided by a second moment that contains it.
    shared = min(max(x.pairs.positions / x.pairs.level, 0.0), 1.0) if x.pairs.level > 0 else 0.0
    covariance_noise = x.covariance_noise * (1 - shared)
    sequence, excess = x.sequence, x.excess
    if node.function == "batch_norm" and not found.frozen and not starved:
        excess = _tails(x, found, edge_profiles)
    if single:
        finite_width = replace(finite_width, square_variance=0.0, new_level_variance=0.0)
    if found.block is not None and not starved:
        excess = _of_equal_length(x.excess, found)
    if sequence is not None and single:
        sequence = sequence.normalized()
        pairs = sequence.imposed_on(pairs)
    return run.algebra.new_source(
        replace(
            x,
            pairs=pairs,
            mean=mean,
            excess=excess,
            noise=noise,
            inherited=noise,
            covariance_noise=covariance_noise,
            zero=0.0,
            rows=None,
            edge_profiles=edge_profiles,
            finite_width=finite_width,
            sequence=sequence,
        )
    )
