"""Concatenated signals as one, and edge profiles of sums, products and powers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from gainstage.propagation.draw_variance import DrawVariance
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import Signal
from gainstage.theory.activations import Array

__all__ = ["blended_edge_profiles", "mixture", "multiplied", "powered"]


def mixture(parts: tuple[Signal, ...]) -> Signal:
    """Summarize signals concatenated along the units as one signal, of the kind of the largest."""
    total = sum(p.extent.units for p in parts)
    shares = [p.extent.units / total for p in parts]

    def mean(of: Callable[[Signal], float]) -> float:
        return sum(s * of(p) for s, p in zip(shares, parts, strict=True))

    pairs = SecondMoments(
        mean(lambda p: p.pairs.level),
        _of_two_units(shares, parts),
        mean(lambda p: p.pairs.positions),
        mean(lambda p: p.pairs.examples),
        mean(lambda p: p.pairs.neighbour),
        mean(lambda p: p.pairs.across_both),
    )
    level = pairs.level or 1.0
    weight = [s * p.pairs.level / level for s, p in zip(shares, parts, strict=True)]
    largest = max(zip(weight, parts, strict=True), key=lambda pair: pair[0])[1]
    finite_width, summed = parts[0].finite_width, weight[0]
    for w, p in zip(weight[1:], parts[1:], strict=True):
        summed += w
        finite_width = finite_width.summed_with(p.finite_width, 1 - w / summed if summed > 0 else 0.5)
    return replace(
        largest,
        finite_width=finite_width,
        extent=replace(largest.extent, units=total),
        pairs=pairs,
        mean=mean(lambda p: p.mean),
        skew=mean(lambda p: p.skew),
        excess=mean(lambda p: p.excess),
        noise=DrawVariance.mean(weight, [p.noise for p in parts]),
        inherited=DrawVariance.mean(weight, [p.inherited for p in parts]),
        zero=mean(lambda p: p.zero),
    )


def _of_two_units(shares: Sequence[float], parts: Sequence[Signal]) -> float:
    """Return E x·y of two units: within one part, or of two parts, which share no more than their means."""
    within = apart = before = 0.0
    for share, part in zip(shares, parts, strict=True):
        within += share**2 * part.pairs.units
        apart += share * part.mean * before
        before += share * part.mean
    return within + 2 * apart


def powered(border: Array | None, exponent: float) -> Array | None:
    """Return the edge profile raised to a power and normalized to mean 1."""
    if border is None or abs(exponent) < 1e-9:
        return None
    if abs(exponent - 1) < 1e-9:
        return border
    changed = np.maximum(border, 1e-12) ** exponent
    return np.asarray(changed / changed.mean())


def multiplied(one: Array | None, other: Array | None) -> tuple[float, Array | None]:
    """Return the mean and the normalized edge profile of a product of two profiles."""
    if one is None or other is None or one.size != other.size:
        return 1.0, other if one is None else one
    product = one * other
    mean = float(product.mean())
    return (mean, np.asarray(product / mean)) if mean > 0 else (1.0, None)


def blended_edge_profiles(
    first: tuple[Array | None, ...], second: tuple[Array | None, ...], share: float
) -> tuple[Array | None, ...]:
    """Return the edge profiles of a sum of which the first term has ``share`` of the second moment."""
    if not first or not second:  # one of them is constant
        first, second = first or (None,) * len(second), second or (None,) * len(first)
    if len(first) != len(second):
        return ()
    blended: list[Array | None] = []
    for a, b in zip(first, second, strict=True):
        if a is None and b is None:
            blended.append(None)
            continue
        size = a.size if a is not None else b.size if b is not None else 1
        left, right = (np.ones(size) if v is None else v for v in (a, b))
        blended.append(share * left + (1 - share) * right if left.size == right.size else None)
    return tuple(blended)
