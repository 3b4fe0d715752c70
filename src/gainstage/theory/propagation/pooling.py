"""Pooling, resampling and means: what neighbouring places have in common decides."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gainstage.graph import Node
from gainstage.theory.activations import Array
from gainstage.theory.propagation.chance import Chance
from gainstage.theory.propagation.function import Function
from gainstage.theory.propagation.geometry import windows
from gainstage.theory.propagation.pairs import Extent, Pairs
from gainstage.theory.propagation.run import Run
from gainstage.theory.propagation.signal import Law, Signal

__all__ = ["averaged", "averaged_units", "largest", "pooled", "resampled", "window_size"]


def window_size(node: Node, x: Extent, out: Extent) -> float:
    """Places that one output is made of."""
    found = math.prod(window.kernel for window in windows(node))
    return float(found) if found > 1 else max(x.positions / max(out.positions, 1), 1.0)


def pooled(run: Run, node: Node, operands: list[Signal]) -> Signal:
    """The mean or the largest of the places under a window."""
    x = operands[0]
    if x.parts:
        return replace(
            run.ledger.joined(tuple(pooled(run, node, [part]) for part in x.parts), x), extent=run.extent(node)
        )
    extent = replace(run.extent(node), units=x.extent.units)
    size = window_size(node, x.extent, extent)
    share = 1.0
    borders: list[Array | None] = []
    for axis, window in enumerate(windows(node)):
        terms, border = window.forward(x.borders[axis] if axis < len(x.borders) else None)
        share *= terms / window.kernel
        borders.append(border)
    along = windows(node)
    chance = x.chance.gathered([w.kernel for w in along], [w.stride for w in along])
    if node.function == "max":  # what lies outside is never the largest: levels are means over what lies inside
        inside = [window.forward(None)[1] for window in along]
        level = tuple(_over(border, count) for border, count in zip(borders, inside, strict=True))
        found = largest(run, x, size)
        return run.ledger.fresh(replace(found, extent=extent, borders=level, chance=_kept(chance, x, found)))
    found = averaged(x, size)
    pairs, chance = found.pairs.scaled(share), _kept(chance, x, found)
    return run.ledger.fresh(
        replace(found, pairs=pairs, mean=found.mean * share, extent=extent, borders=tuple(borders), chance=chance)
    )


def _kept(chance: Chance, before: Signal, after: Signal) -> Chance:
    """Deviations of correlations belong to what varies, not to what all places have in common."""
    one, other = (s.variance / s.pairs.level if s.pairs.level > 0 else 1.0 for s in (before, after))
    return chance.scaled(other / one if one > 0 else 0.0)


def _over(border: Array | None, count: Array | None) -> Array | None:
    if border is None or count is None:
        return border if count is None else None
    relative = border / count
    return np.asarray(relative / relative.mean())


def averaged(x: Signal, count: float) -> Signal:
    """The mean over so many positions."""
    if count <= 1:
        return x
    k, both, rest = x.pairs, x.mean**2, 1 - 1 / count
    together = k.positions if 2 * count > x.extent.positions else k.near
    pairs = Pairs(
        k.level / count + rest * together, k.units / count + rest * both, k.positions,
        k.examples / count + rest * k.apart, k.near, k.apart,
    )  # fmt: skip
    return _gaussian(x, pairs, count)


def averaged_units(x: Signal, count: float) -> Signal:
    """The mean over so many units."""
    if count <= 1:
        return x
    k, both = x.pairs, x.mean**2
    rest = 1 - 1 / count
    pairs = Pairs(
        k.level / count + rest * k.units, k.units, k.positions / count + rest * both, k.examples / count + rest * both,
        k.near / count + rest * both, k.apart / count + rest * both,
    )  # fmt: skip
    return _gaussian(x, pairs, count)


def _gaussian(x: Signal, pairs: Pairs, count: float) -> Signal:
    """A mean of many is nearer to a Gaussian than they are, as far as they are independent."""
    own = max(x.pairs.level - pairs.level, 0.0) / x.pairs.level if x.pairs.level > 0 else 1.0
    calmer = 1 - own + own / math.sqrt(count)
    return replace(
        x, pairs=pairs, skew=x.skew * calmer, excess=x.excess * calmer**2, rows=None, zero=0.0, law=None, terms=()
    )


_COMMON, _COMMON_WEIGHT = np.polynomial.hermite_e.hermegauss(24)
_COMMON_WEIGHT = _COMMON_WEIGHT / _COMMON_WEIGHT.sum()
_HERMITE = np.stack(
    [np.polynomial.hermite_e.HermiteE.basis(n)(_COMMON) / math.sqrt(math.factorial(n)) for n in range(12)]
)
_HERMITE = _HERMITE * _COMMON_WEIGHT
_OWN = np.linspace(-8.0, 8.0, 801)


def largest(run: Run, x: Signal, count: float) -> Signal:
    """The largest of so many positions.

    A function that rises hands the largest of its arguments on, so that only the source's maximum is needed: what the
    places have in common, plus the largest of what each has of its own.
    """
    if count <= 1:
        return x
    law = x.law if x.law is not None else Law(run.ledger.number())
    source = run.ledger.source(law.source) if x.law is not None else x
    mean, spread = source.mean, math.sqrt(source.variance)
    k = source.pairs
    common = min(max(source.correlation(k.near), 0.0), 1.0)
    powers, series = _largest(law.function, mean, spread, common, count)

    def pair(of: float) -> float:
        return _pair_of_largest(series, powers[1], common, source.correlation(of), count)

    pairs = Pairs(powers[1], powers[0] ** 2, pair(k.positions), pair(k.examples), pair(k.near), pair(k.apart))
    first, second, cube, power4 = powers
    variance = max(second - first**2, 0.0)
    third = cube - 3 * first * second + 2 * first**3
    fourth = power4 - 4 * first * cube + 6 * first**2 * second - 3 * first**4
    kurtosis = power4 / second**2 if second > 0 else 1.0
    own = max(kurtosis - 1, 0.0) * pairs.likeness(x.extent) / x.extent.units
    return replace(
        x, pairs=pairs, mean=first, zero=0.0, rows=None, law=None, terms=(),
        skew=third / variance**1.5 if variance > 0 else 0.0,
        excess=min(fourth / variance**2 - 3, 6.0) if variance > 0 else 0.0,
        noise=source.carried.caused(run.ledger.cause(), own), carried=source.carried,
    )  # fmt: skip


def _largest(
    function: Function, mean: float, spread: float, common: float, count: float
) -> tuple[tuple[float, float, float, float], Array]:
    """E M, E M², E M³, E M⁴ of the pooled value, and squared Hermite coefficients of its mean given what is common."""
    middle, weight = _largest_of_normal(count)
    z = math.sqrt(common) * _COMMON[:, None] + math.sqrt(1 - common) * middle[None, :]
    with np.errstate(all="ignore"):
        values = function.value(mean + spread * z)
    given = [values**n @ weight for n in (1, 2, 3, 4)]
    first, second, third, fourth = (float(_COMMON_WEIGHT @ g) for g in given)
    return (first, second, third, fourth), (_HERMITE @ given[0]) ** 2


def _largest_of_normal(count: float) -> tuple[Array, Array]:
    """The largest of so many standard normal numbers: values and their weights."""
    from scipy.special import ndtr

    return (_OWN[1:] + _OWN[:-1]) / 2, np.asarray(np.diff(ndtr(_OWN) ** count))


def _pair_of_largest(series: Array, second: float, common: float, correlation: float, count: float) -> float:
    """E M M' of two windows, from the correlation of each place of the one with the same place of the other.

    What the windows have in common is a part of what the places of each have in common. Places that are more alike than
    that tell only where the same one wins in both: each is 1 / count of a maximum, as long as they are little alike.
    """
    if correlation <= common:
        return float(np.polynomial.polynomial.polyval(correlation / common if common > 0 else 0.0, series))
    beyond = min((correlation - common) / (1 - common), 1.0) if common < 1 else 0.0
    middle, weight = _largest_of_normal(count)
    slope = min(1 / count / float(weight @ middle**2 - (weight @ middle) ** 2), 1.0)
    told = slope * beyond + (1 - slope) * beyond**2
    return float(series.sum() + (second - series.sum()) * told)


def resampled(run: Run, node: Node, operands: list[Signal]) -> Signal:
    """Copies of places, or means of neighbours."""
    x = run.ledger.merged(operands[0])
    extent = run.extent(node)
    if "nearest" in node.name or extent.positions <= x.extent.positions or node.function == "nearest":
        grown = extent.positions / max(x.extent.positions, 1)
        near = x.pairs.level - (x.pairs.level - x.pairs.near) / max(grown, 1.0) ** 0.5
        return run.ledger.fresh(replace(x, pairs=replace(x.pairs, near=near), extent=extent, borders=()))
    axes = 1 if "1d" in node.name or node.name.endswith("linear1d") else 3 if "trilinear" in node.name else 2
    ratio = (extent.positions / x.extent.positions) ** (1 / axes)
    # Between two places at distance w the level is (w² + (1 - w)²) q + 2 w (1 - w) of what they share; means over w.
    offsets = (np.arange(round(ratio)) + 0.5) / round(ratio) if ratio >= 1.5 else np.array([0.5])
    own = float(np.mean(offsets**2 + (1 - offsets) ** 2)) ** axes
    k = x.pairs
    pairs = replace(k, level=own * k.level + (1 - own) * k.near)
    return run.ledger.fresh(replace(x, pairs=pairs, extent=extent, borders=(), law=None, terms=()))
