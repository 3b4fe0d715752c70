"""Covariance of squares at two observations, which sets the variance of a mean of squares over few units."""

from __future__ import annotations

import numpy as np

from gainstage.propagation.expectation import Expectation
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import Signal

__all__ = ["by_chance", "scatter", "squares"]


def squares(found: Expectation, source: Signal) -> SecondMoments:
    """Return Cov(f(u)², f(v)²) / (E f²)² for the same element and for every kind of pair.

    Args:
        found: moments of f over the source.
        source: a nearly Gaussian tensor.
    """
    pairs = source.pairs.each(lambda v: float(found.together(np.asarray(source.correlation(v)))))
    return SecondMoments(
        float(found.together(np.asarray(1.0))),
        pairs.units,
        pairs.positions,
        pairs.examples,
        pairs.neighbour,
        pairs.across_both,
    )


def by_chance(found: Expectation, source: Signal) -> float:
    """Return the part of that covariance caused by finite-width fluctuations of the correlation."""
    own = source.pairs.level / source.variance if source.variance > 0 else 0.0
    return found.curvature * min(source.finite_width.correlation_variance * own**2, 1.0)


def scatter(found: Expectation, source: Signal) -> float:
    """Return the relative variance of a mean of f² over all observations, times the number of units.

    Args:
        found: moments of f over the source.
        source: a nearly Gaussian tensor, with or without a profile by token position.
    """
    both, extent, within = squares(found, source), source.extent, None
    if (sequence := source.sequence) is not None:
        level, mean = source.pairs.level, source.mean**2
        root = np.sqrt(np.maximum(level * sequence.level - mean, 1e-300))
        alike = found.together((level * sequence.cross - mean) / root[:, None] / root[None, :])
        n = sequence.counts
        within = float(n @ alike @ n - n @ np.diag(alike) + n.sum() * both.level) / float(n.sum()) ** 2
    return both.mean_over_observations(extent, within) + by_chance(found, source)
