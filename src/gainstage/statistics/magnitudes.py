"""Distributions of absolute values: of given numbers, of a Gaussian, and of functions and products of Gaussians."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gainstage.records import PER_OCTAVE, Magnitudes

__all__ = ["gaussian_magnitudes", "magnitudes_of", "normal_grid", "relative_to_binade"]

Array = NDArray[np.float64]

_SMALLEST = -24  # octaves below the standard deviation; one in 20 million values of a Gaussian is smaller


def magnitudes_of(
    values: ArrayLike, masses: ArrayLike | None = None, *, count: int | None = None, largest: float | None = None,
    nonfinite: int | None = None,
) -> Magnitudes:  # fmt: skip
    """Return the distribution of |x| of given values.

    Args:
        values: any shape; a sample of a tensor, or all of it.
        masses: the probability of every value, where they are cells of a distribution; by default all are equal.
        count: number of elements of the whole tensor, where ``values`` is a sample.
        largest: the largest finite |x| of the whole tensor, where it is known better than from the values.
        nonfinite: number of elements of the whole tensor that are NaN or infinite.

    >>> found = magnitudes_of([0.0, 1.0, -1.0, 4.0])
    >>> found.zeros, found.below(2.0), found.largest
    (0.25, 0.5, 4.0)
    """
    flat = np.abs(np.asarray(values, dtype=np.float64)).reshape(-1)
    weights = np.ones_like(flat) if masses is None else np.asarray(masses, dtype=np.float64).reshape(-1)
    finite = np.isfinite(flat)
    bad = int(flat.size - finite.sum()) if nonfinite is None else nonfinite
    flat, weights = flat[finite], weights[finite]
    total = float(weights.sum())
    size = int(finite.size) if count is None else count
    if not total > 0:
        return Magnitudes(size, 0.0, bad, 0, (), 0.0)
    live = flat > 0
    top = float(flat.max()) if largest is None else largest
    if not live.any():
        return Magnitudes(size, 1.0, bad, 0, (), top)
    places = np.floor(PER_OCTAVE * np.log2(flat[live])).astype(np.int64)
    first = int(places.min())
    binned = np.bincount(places - first, weights=weights[live]) / total
    return Magnitudes(size, float(weights[~live].sum() / total), bad, first, tuple(binned.tolist()), top)


def gaussian_magnitudes(mean: float, spread: float, count: int) -> Magnitudes:
    """Return the distribution of |x| of a Gaussian, with tails from its distribution function.

    Args:
        mean: of the Gaussian.
        spread: its standard deviation; zero for a constant.
        count: number of elements of the tensor. The largest |x| is the one that a single element in it exceeds on
            average with probability one half.

    >>> found = gaussian_magnitudes(0.0, 1.0, 10**6)
    >>> round(found.below(1.0), 3), round(found.largest, 1)
    (0.683, 5.0)
    """
    if not spread > 0:
        return magnitudes_of([mean], count=count)
    reach = abs(mean) + 40 * spread
    first = math.floor(PER_OCTAVE * (math.log2(spread) + _SMALLEST))
    last = math.ceil(PER_OCTAVE * math.log2(reach))
    edges = 2.0 ** (np.arange(first, last + 1) / PER_OCTAVE)
    beyond = _tails((edges - mean) / spread) + _tails((edges + mean) / spread)
    shares = np.maximum(beyond[:-1] - beyond[1:], 0.0)
    shares[0] += max(1.0 - float(beyond[0]), 0.0)  # what is smaller still
    expected = np.flatnonzero(beyond * count >= 0.5)
    largest = float(edges[expected[-1] if expected.size else 0])
    kept = int(np.flatnonzero(shares * count >= 1e-9)[-1]) + 1
    return Magnitudes(count, 0.0, 0, first, tuple((shares[:kept] / shares[:kept].sum()).tolist()), largest)


def _tails(z: Array) -> Array:
    """Probability that a standard normal variable exceeds z."""
    return np.array([0.5 * math.erfc(v / math.sqrt(2)) for v in z])


@cache
def normal_grid(*, fine: bool = True) -> tuple[Array, Array]:
    """Return the middles of the cells of a standard normal variable, and the probability of each cell.

    Cells between 1/8 and 9 are equally wide; towards zero they shrink in proportion, so that small values are resolved.

    Args:
        fine: some 2,400 cells; otherwise some 400, for products of two variables.

    >>> middles, masses = normal_grid()
    >>> round(float(masses.sum()), 9), round(float((masses * middles**2).sum()), 3)
    (1.0, 1.0)
    """
    octaves = 2.0 ** np.arange(_SMALLEST, -3, 1 / PER_OCTAVE if fine else 1 / 4)
    edges = np.concatenate([octaves, np.linspace(0.125, 9.0, 801 if fine else 121)])
    masses = np.append(0.5 - _tails(edges[:1]), -np.diff(_tails(edges)))
    middles = np.append(edges[0] / 2, np.sqrt(edges[:-1] * edges[1:]))
    return np.concatenate([-middles[::-1], middles]), np.concatenate([masses[::-1], masses]) / (2 * masses.sum())


def relative_to_binade(updates: ArrayLike, weights: ArrayLike) -> Array:
    """Return |Δw| over the power of two at or below |w|, for the weights that are not zero.

    A number format with p significant bits rounds an update of less than 2^-p of that power to nothing.

    Args:
        updates: change of every weight, any shape.
        weights: the weights before the change, same shape.

    >>> relative_to_binade([0.5, 0.5, 1.0], [1.5, 4.0, 0.0]).tolist()
    [0.5, 0.125]
    """
    moved, old = (np.abs(np.asarray(a, dtype=np.float64)).reshape(-1) for a in (updates, weights))
    live = (old > 0) & np.isfinite(old)
    _, exponent = np.frexp(old[live])
    return np.asarray(np.ldexp(moved[live], 1 - exponent))
