"""Normalisations: what they divide by is known, since it is an average over many elements."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from gainstage.graph import Node, Operation
from gainstage.propagation.alike import of_alike_taps
from gainstage.propagation.pairs import Pairs
from gainstage.propagation.run import Run
from gainstage.propagation.signal import Signal
from gainstage.propagation.weighted import overlaps
from gainstage.propagation.weights import scale_of
from gainstage.theory.activations import Array
from gainstage.theory.images.windows import Overlap

__all__ = ["Division", "divided_by", "division", "mean_inverse", "normalization"]

_MANY = 200.0
_HEAVIEST = 3.0  # Edgeworth's series is of no use beyond
_OF_A_TOKEN = frozenset({"layer_norm", "rms_norm", "unit_norm"})


@dataclass(frozen=True, slots=True)
class Division:
    """What one normalisation takes off and divides by.

    Args:
        taken: what taking the mean off takes off second moments: of elements and of pairs.
        variance: what is divided by, squared, without eps.
        eps: added to it.
        over: elements that share one mean.
        scale, scale_mean: E γ² and E γ.
        frozen: whether it divides by what it knew before.
        uneven: relative variance of what is divided by, between channels or between observations.
        few: the mean of one over it, of what it owes to few numbers: the taps that borders lack.
    """

    taken: Pairs
    variance: float
    eps: float
    over: float
    scale: float
    scale_mean: float
    frozen: bool = False
    uneven: float = 0.0
    few: float = 1.0

    @property
    def factor(self) -> float:
        """On second moments."""
        return 1 / (self.variance + self.eps) if self.variance + self.eps > 0 else 0.0

    @property
    def back(self) -> float:
        """On second moments of gradients: the mean of the inverse is more than the inverse of the mean."""
        inverse = self.few / (1 - min(self.uneven, 0.7))
        return 1 / (self.variance / inverse + self.eps) if self.variance + self.eps > 0 else 0.0


def division(run: Run, node: Node, x: Signal) -> Division:
    """How a normalisation treats a signal."""
    k, extent, both = x.pairs, x.extent, x.mean**2
    settings = dict(node.settings)
    eps = settings.get("eps", 1e-5)
    scales = [scale_of(run.graph, use, run.weights) for use in node.uses_of("scale")]
    scale = scales[0].second_moment if scales else 1.0
    scale_mean = scales[0].mean if scales else 1.0
    match node.function:
        case "batch_norm" if settings.get("training") == 0:
            return Division(Pairs(0.0), 1.0, eps, 1.0, scale, scale_mean, frozen=True)
        case "batch_norm":  # one mean for a unit, whatever the example and position
            mean, over = k.over_batch(extent), float(extent.examples * extent.positions)
            taken = Pairs(mean, both, mean, mean)
        case "instance_norm":
            mean, over = k.over_positions(extent.positions), float(extent.positions)
            taken = Pairs(mean, both, mean, k.apart)
        case "group_norm":
            taken, over = Pairs(both, both, both, both), float(extent.units * extent.positions) / 8
        case "rms_norm" | "unit_norm":
            if node.function == "unit_norm":  # to unit length: all units share a sum of one
                scale /= max(extent.units, 1)
                scale_mean /= math.sqrt(max(extent.units, 1))
            return Division(Pairs(0.0), k.level, eps, float(extent.units), scale, scale_mean, uneven=_between(x))
        case _:  # one mean for a position, whatever the unit
            share, over = 1 / max(extent.units, 1), float(extent.units)
            mean = share * k.level + (1 - share) * k.units
            apart = (1 - share) * both
            taken = Pairs(
                mean,
                mean,
                share * k.positions + apart,
                share * k.examples + apart,
                share * k.near + apart,
                share * k.apart + apart,
            )
    left = max(k.level - taken.level, 0.0)
    uneven, few = 0.0, 1.0
    if node.function == "batch_norm":
        share, numbers = _of_few(run, node, x, left)
        uneven = _uneven(run, node, x, taken, share)
        few = mean_inverse(share, numbers) if share >= 1e-3 and numbers > 0 else 1.0
        few *= of_alike_taps(run, node)
    elif node.function not in ("instance_norm", "group_norm"):
        uneven = _between(x)
    return Division(taken, left, eps, over, scale, scale_mean, uneven=uneven, few=few)


def divided_by(node: Node, x: Signal, by: Division) -> Array | None:
    """What each stretch of a sequence is divided by, squared, as a part of the mean; None where they are alike."""
    if x.course is None or node.function not in _OF_A_TOKEN:
        return None
    whole = by.variance + by.eps
    return (by.variance * x.course.level + by.eps) / whole if whole > 0 else None


def _between(x: Signal) -> float:
    """Relative variance of what each observation is divided by: those next to a border lack terms.

    A statistic over places as well, as group norm takes it, averages that out.
    """
    whole = 1 - min(x.chance.uneven, 0.7)
    for border in x.borders:
        if border is not None and (border > 0).all():
            whole /= float((1 / border).mean())
    return 1 - whole


def _uneven(run: Run, node: Node, x: Signal, taken: Pairs, share: float) -> float:
    """The variance of a channel is a mean of squares with few independent terms, where few different ones went in.

    Args:
        share: of the variance, that of a mean field. Where a channel reads few others, their weights decide both: with
            v = (1 - s) a + s b and Cov(a, b) = Var a, whatever the field, they give it (1 - s²) Var a.
    """
    own = x.pairs.zip(taken, lambda pair, mean: pair - mean)
    if _overlaps(run, node, x)[0]:  # what all examples have in common at one place is the mean field
        own = replace(own, examples=own.apart)
    if not own.level > 0:
        return 0.0
    both = x.chance.single * ((1 + share) / (1 - share) - 1)
    return 2 * (own.likeness(x.extent) + (x.chance.left + both) * (x.pairs.level / own.level) ** 2)


def _overlaps(run: Run, node: Node, x: Signal) -> tuple[list[Overlap], float]:
    """Of what is read right behind a convolution: which taps two places share, and E x·y of two that lack none."""
    producer = run.graph.nodes[node.inputs[0]]
    source = run.signals.get(producer.inputs[0]) if producer.operation is Operation.CONVOLUTION else None
    axes = overlaps(producer, source) if source is not None and producer.function != "transposed" else []
    whole = math.prod(a.mean for a in axes)
    return (axes, max(x.pairs.apart, 0.0) / whole) if len(axes) == len(x.borders) and whole > 0 else ([], 0.0)


def _of_few(run: Run, node: Node, x: Signal, left: float) -> tuple[float, float]:
    """What share of a channel's variance is that of its mean field, and how many numbers decide it.

    The field falls where taps are missing. It is Σ over taps of a number each, so that its variance over places is a
    quadratic form of few of them: as a χ² with the same mean and variance.
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
    """E 1 / (1 - s + s χ²/k).

    Args:
        share: s, below 1.
        numbers: k, degrees of freedom, any positive number.
    """
    if numbers > _MANY:  # the χ² is narrow, and its Gauss-Laguerre weights overflow
        return 1 + 2 * share**2 / numbers
    from scipy.special import roots_genlaguerre

    z, weight = roots_genlaguerre(32, numbers / 2 - 1)
    return float(weight / weight.sum() @ (1 / (1 - share + share * z * 2 / numbers)))


def _tails(x: Signal, by: Division, borders: tuple[Array | None, ...]) -> float:
    """The excess of what batch norm hands on: observations of unlike level make tails heavy, unlike channels light.

    A channel's fourth moment over observations is 3 E K², where K is an observation's level, and its variance, squared,
    scatters between channels: E z⁴ / v² = 3 (1 + Var K) / (1 + Var v).
    """
    along = math.prod(float((b**2).mean()) for b in borders if b is not None)
    loud = x.chance.loud * (x.pairs.level / by.variance) ** 2
    heavy = (1 + loud) * along / (1 + by.uneven)
    return min(x.excess + 3 * (heavy - 1), _HEAVIEST)


def _centred(run: Run, node: Node, x: Signal, left: float) -> tuple[Array | None, ...]:
    """How the level varies along the axes of an image when every channel's mean is taken off.

    A channel's mean field falls towards the borders: in proportion to everything else, or, right behind a convolution,
    because taps are missing, each of which has a weight of its own.

    Args:
        left: of the level, when the means are off.
    """
    level = x.pairs.level
    axes, field = _overlaps(run, node, x)
    if not axes or not level > 0:
        share = max(1 - left / level, 0.0) if level > 0 else 0.0
        return tuple(
            None if b is None else _relative((1 - share) * b + share * (np.sqrt(b) - np.sqrt(b).mean()) ** 2)
            for b in x.borders
        )
    found = []
    for place, (border, axis) in enumerate(zip(x.borders, axes, strict=True)):
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


def normalization(run: Run, node: Node, operands: list[Signal]) -> Signal:
    """(x - mean) / spread · γ + β."""
    x = operands[0]
    if x.parts and node.function == "batch_norm":
        parts = tuple(_normalised(run, node, part) for part in x.parts)
        return replace(run.ledger.joined(parts, x), extent=run.extent(node))
    return run.placed(node, _normalised(run, node, run.ledger.merged(x)))


def _normalised(run: Run, node: Node, x: Signal) -> Signal:
    found = division(run, node, x)
    factor = found.factor
    centred = x.pairs.zip(found.taken, lambda pair, taken: pair - taken)
    scaled = centred.scaled(factor * found.scale)
    # Two units of one position have their γ each; two that share the unit share it.
    units = centred.units * factor * found.scale_mean**2
    pairs = replace(scaled, units=units)
    mean = 0.0
    if node.function in ("rms_norm", "unit_norm") or found.frozen:
        mean = x.mean * factor**0.5 * found.scale_mean
    for use in node.uses_of("shift"):
        shift = scale_of(run.graph, use, run.weights)
        if shift.second_moment > 0:
            pairs = pairs + Pairs(shift.second_moment, shift.mean**2, shift.second_moment, shift.second_moment)
            mean += shift.mean
    starved = found.variance <= found.eps
    # What is left of the noise: a level that is divided out has none, unless eps is what is divided by.
    noise = x.noise if found.frozen or starved else x.noise * (found.eps * factor)
    borders = x.borders if node.function in ("batch_norm", "group_norm", "instance_norm") else ()
    if node.function == "batch_norm" and not found.frozen and x.pairs.level > 0:
        borders = _centred(run, node, x, centred.level)
    chance = x.chance if found.frozen else x.chance.scaled(factor * x.pairs.level)
    # What tokens have in common is divided by a level that it is a part of.
    shared = min(max(x.pairs.positions / x.pairs.level, 0.0), 1.0) if x.pairs.level > 0 else 0.0
    bond = x.bond * (1 - shared)
    course, excess = x.course, x.excess
    if node.function == "batch_norm" and not found.frozen and not starved:
        excess = _tails(x, found, borders)
    if node.function != "batch_norm":  # every observation is brought to one level
        chance = replace(chance, swing=0.0, fresh=0.0)
    if course is not None and node.function in _OF_A_TOKEN:
        course = course.levelled()
        pairs = course.set_in(pairs)
    return run.ledger.fresh(
        replace(
            x,
            pairs=pairs,
            mean=mean,
            excess=excess,
            noise=noise,
            carried=noise,
            bond=bond,
            zero=0.0,
            rows=None,
            borders=borders,
            chance=chance,
            course=course,
        )
    )
