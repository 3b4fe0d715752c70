"""Finite-width fluctuations of correlations, gathered and averaged, against matrices of random correlations."""

from __future__ import annotations

import numpy as np
import pytest

from gainstage.propagation.finite_width import Deviation, FiniteWidth

PLACES = 240


def gathered(deviations: np.ndarray, taps: int) -> np.ndarray:
    """A convolution: one channel's weights are the same at both places."""
    count = len(deviations) - taps + 1
    return sum(deviations[t : t + count, t : t + count] for t in range(taps)) / taps


def averaged(deviations: np.ndarray, kernel: int) -> np.ndarray:
    """A mean over windows that tile the axis."""
    count = len(deviations) // kernel
    tiled = deviations[: count * kernel, : count * kernel].reshape(count, kernel, count, kernel)
    return tiled.mean((1, 3))


@pytest.mark.parametrize("taps", [1, 3, 5])
@pytest.mark.parametrize("kernel", [2, 3])
def test_a_mean_over_places_averages_over_pairs_of_them(taps, kernel):
    """Along one axis: pairs of one offset deviate alike behind a convolution, and independently without one."""
    rng = np.random.default_rng(taps)
    draws = []
    for _ in range(40):
        one = gathered(rng.normal(size=(PLACES, PLACES)), taps)
        draws.append((one.var(), averaged(one, kernel).var()))
    before, after = np.mean(draws, 0)
    start = FiniteWidth((Deviation(0, 1.0),), axes=1).windowed([taps], [1])
    found = start.averaged([kernel], [kernel], 1.0)
    assert start.correlation_variance == pytest.approx(before, rel=0.08 if taps > 1 else 0.02)  # bells stand for boxes
    assert found.correlation_variance / start.correlation_variance == pytest.approx(after / before, rel=0.05)
    assert found.pitch == kernel
