"""Pooling and means over positions or units in the forward pass; the covariance of neighbours decides."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from gainstage.graph import Node
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.function import Function
from gainstage.propagation.geometry import windows
from gainstage.propagation.second_moments import Extent, SecondMoments
from gainstage.propagation.signal import FunctionOf, Signal
from gainstage.theory.activations import Array
from gainstage.theory.images.pooling import shared_maximum_correlation
from gainstage.theory.images.windows import Window, relative

__all__ = ["Overlapping", "averaged", "averaged_units", "is_largest", "largest", "overlapping", "pooled", "window_size"]


def window_size(node: Node, x: Extent, out: Extent) -> float:
    """Return the number of positions under one window."""
    found = math.prod(window.kernel for window in windows(node))
    return float(found) if found > 1 else max(x.positions / max(out.positions, 1), 1.0)


def is_largest(node: Node, x: Extent, out: Extent) -> bool:
    """Report whether a reduction is a global max pooling: a maximum over positions and not over units."""
    return node.function == "max" and x.units == out.units and x.positions > out.positions


def pooled(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict an average or max pooling."""
    x = operands[0]
    if x.parts:
        return replace(
            run.algebra.concatenated(tuple(pooled(run, node, [part]) for part in x.parts), x), extent=run.extent(node)
        )
    extent = replace(run.extent(node), units=x.extent.units)
    size = window_size(node, x.extent, extent)
    share = 1.0
    edge_profiles: list[Array | None] = []
    for axis, window in enumerate(windows(node)):
        terms, border = window.forward(x.edge_profiles[axis] if axis < len(x.edge_profiles) else None)
        share *= terms / window.kernel
        edge_profiles.append(border)
    along = windows(node)
    if node.function == "max":
        found, level = largest(run, x, size, along)
        return run.algebra.new_source(replace(found, extent=extent, edge_profiles=level))
    found = averaged(x, size)
    pairs = replace(found.pairs, neighbour=x.pairs.at_stride(_stride(along)).neighbour).scaled(share)
    gain = x.pairs.level / pairs.level if pairs.level > 0 else 0.0
    finite_width = x.finite_width.averaged([w.kernel for w in along], [w.stride for w in along], gain)
    return run.algebra.new_source(
        replace(
            found,
            pairs=pairs,
            mean=found.mean * share,
            extent=extent,
            edge_profiles=tuple(edge_profiles),
            finite_width=finite_width,
        )
    )


def averaged(x: Signal, count: float) -> Signal:
    """Return the mean over ``count`` positions."""
    if count <= 1:
        return x
    k, both, rest = x.pairs, x.mean**2, 1 - 1 / count
    together = k.positions if 2 * count > x.extent.positions else k.neighbour
    pairs = SecondMoments(
        k.level / count + rest * together, k.units / count + rest * both, k.positions,
        k.examples / count + rest * k.across_both, k.neighbour, k.across_both,
    )  # fmt: skip
    return _gaussian(x, pairs, count)


def averaged_units(x: Signal, count: float) -> Signal:
    """Return the mean over ``count`` units."""
    if count <= 1:
        return x
    k, both = x.pairs, x.mean**2
    rest = 1 - 1 / count
    pairs = SecondMoments(
        k.level / count + rest * k.units, k.units, k.positions / count + rest * both, k.examples / count + rest * both,
        k.neighbour / count + rest * both, k.across_both / count + rest * both,
    )  # fmt: skip
    return _gaussian(x, pairs, count)


def _gaussian(x: Signal, pairs: SecondMoments, count: float) -> Signal:
    """Return a mean of many elements: skewness and excess kurtosis shrink as far as the elements are independent."""
    own = max(x.pairs.level - pairs.level, 0.0) / x.pairs.level if x.pairs.level > 0 else 1.0
    calmer = 1 - own + own / math.sqrt(count)
    return replace(
        x,
        pairs=pairs,
        skew=x.skew * calmer,
        excess=x.excess * calmer**2,
        rows=None,
        zero=0.0,
        dependence=None,
        terms=(),
    )


_COMMON, _COMMON_WEIGHT = np.polynomial.hermite_e.hermegauss(24)
_COMMON_WEIGHT = _COMMON_WEIGHT / _COMMON_WEIGHT.sum()
_HERMITE = np.stack(
    [np.polynomial.hermite_e.HermiteE.basis(n)(_COMMON) / math.sqrt(math.factorial(n)) for n in range(12)]
)
_HERMITE = _HERMITE * _COMMON_WEIGHT
_OWN = np.linspace(-8.0, 8.0, 801)


def largest(
    run: ForwardPass, x: Signal, count: float, along: tuple[Window, ...] = ()
) -> tuple[Signal, tuple[Array | None, ...]]:
    """Return the maximum over ``count`` positions, and its edge profiles.

    A monotone function commutes with the maximum, so the maximum of the source suffices: a part that the positions
    share plus the maximum of independent parts. Windows at a border hold fewer positions, and overlapping windows share
    some.
    """
    if count <= 1:
        return x, x.edge_profiles
    dependence = x.dependence if x.dependence is not None else FunctionOf(run.algebra.number())
    source = run.algebra.source(dependence.source) if x.dependence is not None else x
    mean, spread = source.mean, math.sqrt(source.variance)
    k = source.pairs
    common = min(max(source.correlation(k.neighbour), 0.0), 1.0)
    held, raised = _held(x, along, count)
    sizes, place = np.unique(held, return_inverse=True)
    moments = [_largest(dependence.function, mean, spread, common, float(size)) for size in sizes]
    powers, roots = np.array([p for p, _ in moments])[place], np.array([root for _, root in moments])[place]
    first, second, cube, power4 = (float((raised ** (n / 2)) @ powers[:, n - 1]) / held.size for n in (1, 2, 3, 4))
    # For windows at one position, and for two windows without shared positions.
    together = raised @ roots**2 / held.size
    elsewhere = (np.sqrt(raised) @ roots / held.size) ** 2

    def pair(of: float, series: Array) -> float:
        return _pair_of_largest(series, second, common, source.correlation(of), count)

    own = max(second - float(together.sum()), 0.0)  # the part that windows do not share
    beside, others = _sharing(along)
    pairs = SecondMoments(
        second, first**2, pair(k.positions, elsewhere) + own * others, pair(k.examples, together),
        pair(k.at_stride(_stride(along)).neighbour, elsewhere) + own * beside, pair(k.across_both, elsewhere),
    )  # fmt: skip
    # A fluctuation of the similarity of two observations matters only if the same position wins in both.
    gate_response = (
        count * own * _slope(count) / (1 - common) / source.variance if common < 1 and source.variance > 0 else 0.0
    )
    gain = gate_response * source.pairs.level / second if second > 0 else 0.0
    finite_width = source.finite_width.averaged([w.kernel for w in along], [w.stride for w in along], gain)
    variance = max(second - first**2, 0.0)
    third = cube - 3 * first * second + 2 * first**3
    fourth = power4 - 4 * first * cube + 6 * first**2 * second - 3 * first**4
    kurtosis = power4 / second**2 if second > 0 else 1.0
    own = max(kurtosis - 1, 0.0) * pairs.mean_squared_correlation(x.extent) / x.extent.units
    found = replace(
        x, pairs=pairs, mean=first, zero=0.0, rows=None, dependence=None, terms=(), finite_width=finite_width,
        skew=third / variance**1.5 if variance > 0 else 0.0,
        excess=min(fourth / variance**2 - 3, 6.0) if variance > 0 else 0.0,
        noise=source.inherited.with_cause(run.algebra.cause(), own), inherited=source.inherited,
    )  # fmt: skip
    level = (raised * powers[:, 1]).reshape([w.out for w in along])
    return found, tuple(_along(level, axis) for axis in range(len(along)))


def _stride(along: tuple[Window, ...]) -> float:
    """Return the geometric mean of the windows' strides."""
    return float(math.prod(window.stride for window in along) ** (1 / max(len(along), 1)))


def _held(x: Signal, along: tuple[Window, ...], count: float) -> tuple[Array, Array]:
    """Return the number of positions in each window and their second moment; positions outside never win."""
    held, raised = np.full(1, count), np.ones(1)
    for axis, window in enumerate(along):
        counts = window.counts()
        terms, border = window.forward(x.edge_profiles[axis] if axis < len(x.edge_profiles) else None)
        inside = (terms if border is None else terms * border) / counts
        held = np.multiply.outer(held if axis else np.ones(1), counts).ravel()
        raised = np.multiply.outer(raised, inside).ravel()
    return held, raised


def _along(level: Array, axis: int) -> Array | None:
    """Return the edge profile along one axis."""
    return relative(level.mean(tuple(other for other in range(level.ndim) if other != axis)))[1]


@dataclass(frozen=True, slots=True)
class Overlapping:
    """Pairs of windows at one offset that share positions.

    Args:
        neighbour: share of such pairs among all pairs in a block two wide.
        shared: number of positions in both windows.
        same: probability that one position is the maximum of both.
        pairs: number of such ordered pairs per window.
    """

    neighbour: float
    shared: int
    same: float
    pairs: float


def overlapping(along: tuple[Window, ...]) -> list[Overlapping]:
    """Return all offsets at which windows share positions; empty for dilated windows."""
    if not along or any(window.dilation > 1 for window in along):
        return []
    found, counts = list[Overlapping](), [window.counts() for window in along]
    held = functools.reduce(np.multiply.outer, counts)
    for offset in itertools.product(*(range(1 - w.kernel, w.kernel) for w in along)):
        shared = math.prod(max(w.kernel - abs(o) * w.stride, 0) for w, o in zip(along, offset, strict=True))
        if not any(offset) or not shared or any(abs(o) >= w.out for w, o in zip(along, offset, strict=True)):
            continue
        one, other = (held[tuple(slice(max(o, 0), w.out + min(o, 0)) for w, o in zip(along, way, strict=True))]
                      for way in (offset, [-o for o in offset]))  # fmt: skip
        both = functools.reduce(np.multiply.outer, [w.common(o) for w, o in zip(along, offset, strict=True)])
        neighbour = 0.0 if any(abs(o) > 1 for o in offset) else 0.5 ** sum(map(abs, offset)) / (2 ** len(along) - 1)
        found.append(Overlapping(neighbour, shared, float((both / (one + other - both)).mean()), both.size / held.size))
    return found


def _sharing(along: tuple[Window, ...]) -> tuple[float, float]:
    """Return the correlation of the maxima of overlapping windows: of two adjacent ones, and averaged over any two."""
    ways, size = overlapping(along), math.prod(window.kernel for window in along)
    alike = {shared: shared_maximum_correlation(size, shared) for shared in {way.shared for way in ways}}
    neighbour = sum(alike[way.shared] * way.neighbour for way in ways)
    every = sum(alike[way.shared] * way.pairs for way in ways)
    return neighbour, every / max(math.prod(w.out for w in along) - 1, 1)


def _largest(
    function: Function, mean: float, spread: float, common: float, count: float
) -> tuple[tuple[float, float, float, float], Array]:
    """Return E M, E M², E M³, E M⁴ of the maximum M, and Hermite coefficients of E[M | shared part]."""
    middle, weight = _largest_of_normal(count)
    z = math.sqrt(common) * _COMMON[:, None] + math.sqrt(1 - common) * middle[None, :]
    with np.errstate(all="ignore"):
        values = function.value(mean + spread * z)
    given = [values**n @ weight for n in (1, 2, 3, 4)]
    first, second, third, fourth = (float(_COMMON_WEIGHT @ g) for g in given)
    return (first, second, third, fourth), _HERMITE @ given[0]


def _largest_of_normal(count: float) -> tuple[Array, Array]:
    """Return the maximum of ``count`` independent standard normal values as values and weights."""
    from scipy.special import ndtr

    return (_OWN[1:] + _OWN[:-1]) / 2, np.asarray(np.diff(ndtr(_OWN) ** count))


def _pair_of_largest(series: Array, second: float, common: float, correlation: float, count: float) -> float:
    """Return E M·M' of two windows, from the correlation of corresponding positions.

    The windows share a part of what the positions within each share. A larger correlation matters only where the same
    position wins in both windows: each position is 1/count of a maximum as long as the correlation is small.
    """
    if correlation <= common:
        return float(np.polynomial.polynomial.polyval(correlation / common if common > 0 else 0.0, series))
    beyond = min((correlation - common) / (1 - common), 1.0) if common < 1 else 0.0
    slope = _slope(count)
    explained = slope * beyond + (1 - slope) * beyond**2
    return float(series.sum() + (second - series.sum()) * explained)


def _slope(count: float) -> float:
    """Return the derivative of the correlation of two maxima by that of their positions, at small correlations."""
    middle, weight = _largest_of_normal(count)
    return min(1 / count / float(weight @ middle**2 - (weight @ middle) ** 2), 1.0)
