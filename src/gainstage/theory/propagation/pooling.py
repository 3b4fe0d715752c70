"""Pooling, resampling and means: what neighbouring places have in common decides."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gainstage.graph import Node
from gainstage.theory.activations import Array
from gainstage.theory.propagation.function import Function
from gainstage.theory.propagation.geometry import windows
from gainstage.theory.propagation.pairs import Extent, Pairs
from gainstage.theory.propagation.run import Run
from gainstage.theory.propagation.signal import Chance, Law, Signal

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
    near = _largest(law.function, mean, spread, source.correlation(source.pairs.near), count)
    far = _largest(law.function, mean, spread, source.correlation(source.pairs.examples), count)
    wide = _largest(law.function, mean, spread, source.correlation(source.pairs.positions), count)
    pairs = Pairs(near[1], near[0] ** 2, wide[4], far[4], near[4], min(far[4], wide[4]))
    variance = max(near[1] - near[0] ** 2, 0.0)
    third = near[2] - 3 * near[0] * near[1] + 2 * near[0] ** 3
    fourth = near[3] - 4 * near[0] * near[2] + 6 * near[0] ** 2 * near[1] - 3 * near[0] ** 4
    likeness = pairs.likeness(x.extent)
    kurtosis = near[3] / near[1] ** 2 if near[1] > 0 else 1.0
    return replace(
        x, pairs=pairs, mean=near[0], zero=0.0, rows=None, law=None, terms=(),
        skew=third / variance**1.5 if variance > 0 else 0.0,
        excess=min(fourth / variance**2 - 3, 6.0) if variance > 0 else 0.0,
        noise=source.carried + max(kurtosis - 1, 0.0) * likeness / x.extent.units, carried=source.carried,
    )  # fmt: skip


def _largest(function: Function, mean: float, spread: float, common: float, count: float) -> tuple[float, ...]:
    """E M, E M², E M³, E M⁴ of the pooled value, and E of the square of its mean given what is common."""
    from scipy.special import ndtr

    common = min(max(common, 0.0), 1.0)
    edges = ndtr(_OWN) ** count
    weight = np.diff(edges)
    middle = (_OWN[1:] + _OWN[:-1]) / 2
    z = math.sqrt(common) * _COMMON[:, None] + math.sqrt(1 - common) * middle[None, :]
    with np.errstate(all="ignore"):
        values = function.value(mean + spread * z)
    given = [values**n @ weight for n in (1, 2, 3, 4)]
    means = [float(_COMMON_WEIGHT @ g) for g in given]
    return (*means, float(_COMMON_WEIGHT @ given[0] ** 2))


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
