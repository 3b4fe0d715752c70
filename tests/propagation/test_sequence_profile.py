"""Levels along a sequence against sums over all of its places, and causal rows against their exact moments."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gainstage.propagation.second_moments import Extent, SecondMoments
from gainstage.propagation.sequence_profile import SequenceProfile, Windows, blended, segment_lengths, times
from gainstage.theory.attention.causal import causal_rows
from gainstage.theory.attention.moments import TwoRows
from gainstage.theory.attention.softmax import softmax_moments


@pytest.mark.parametrize("places", [1, 2, 7, 12, 48, 1000, 4096])
def test_stretches_hold_all_places(places):
    counts = segment_lengths(places)
    start = np.cumsum(counts) - counts
    assert counts.sum() == places
    assert (counts <= np.maximum(start / 4, 1)).all()


def gram(places: int) -> np.ndarray:
    rows = np.random.default_rng(0).standard_normal((places, 2 * places)) + 0.5
    return rows @ rows.T / (2 * places)


def test_single_places_are_summed_exactly():
    places = 6  # every stretch holds one of them
    values = gram(places)
    sequence, _ = SequenceProfile.from_moments(np.ones(places), np.diag(values).copy(), values)
    values = values / np.diag(values).mean()
    windows = Windows(sequence.counts)
    off = ~np.eye(places, dtype=bool)
    assert sequence.positions == pytest.approx(values[off].mean())
    assert sequence.mean_squared_correlation == pytest.approx((values**2).mean())
    for row in range(places):
        seen = values[: row + 1, : row + 1]
        apart = ~np.eye(row + 1, dtype=bool)
        assert windows.levels(sequence.level)[row] == pytest.approx(np.diag(seen).mean())
        if row:
            assert windows.within(sequence.cross)[row] == pytest.approx(seen[apart].mean())
            centre = np.eye(row + 1) - 1 / (row + 1)
            both = np.trace(centre @ seen @ centre @ seen) / row
            assert windows.centred(sequence, sequence)[row] == pytest.approx(both)
        for other in range(row):
            block = values[: row + 1, : other + 1]
            apart = ~np.eye(row + 1, other + 1, dtype=bool)
            assert windows.across(sequence.cross)[row, other] == pytest.approx(block[apart].mean())


def test_stretches_stand_for_their_places():
    places = 60
    level = 1 / np.arange(1, places + 1)
    counts = segment_lengths(places)
    edges = np.concatenate(([0], np.cumsum(counts))).astype(int)
    means = np.array([level[a:z].mean() for a, z in itertools.pairwise(edges)])
    windows = Windows(counts)
    exact = np.cumsum(level) / np.arange(1, places + 1)
    told = np.array([exact[a:z].mean() for a, z in itertools.pairwise(edges)])
    assert windows.levels(means) == pytest.approx(told, rel=0.02)


def test_a_norm_levels_and_a_sum_blends():
    level, alike = np.array([2.0, 0.5, 0.5]), np.full((3, 3), 0.4)
    sequence = SequenceProfile(np.ones(3), level, alike)
    assert sequence.normalized().level.tolist() == [1.0, 1.0, 1.0]
    assert sequence.normalized().cross[0, 1] == pytest.approx(0.4)
    assert sequence.normalized().cross[1, 2] == pytest.approx(0.8)
    mixed = blended(sequence, None, 0.5, (SecondMoments(1.0), SecondMoments(1.0, positions=0.2)))
    assert mixed is not None
    assert mixed.level.tolist() == [1.5, 0.75, 0.75]
    assert mixed.cross[0, 1] == pytest.approx(0.3)
    assert blended(None, None, 0.5, (SecondMoments(1.0), SecondMoments(1.0))) is None
    pairs, product = times(sequence, SecondMoments(2.0), sequence, SecondMoments(3.0))
    assert product is not None
    assert pairs.level == pytest.approx(6 * (level**2).mean())
    assert product.mean(product.level) == pytest.approx(1.0)


@pytest.mark.parametrize("variance", [0.0, 0.01, 1.0, 6.0])
def test_rows_of_whole_lengths_are_exact(variance):
    length = np.array([1.0, 2.0, 5.0, 30.0])
    shorter, longer = np.minimum.outer(length, length), np.maximum.outer(length, length)
    rows = causal_rows(np.full(4, variance), length, shorter, longer, 0.5)
    for place, count in enumerate((1, 2, 5, 30)):
        exact = softmax_moments(variance, count)
        assert rows.concentration[place] == pytest.approx(exact.concentration, rel=1e-3)
        assert rows.jacobian[place] == pytest.approx(exact.jacobian, rel=1e-3, abs=1e-12)
    if variance >= 1:
        exact = TwoRows(variance, 30, 0.5).overlap(5, 30)
        assert rows.overlap[2, 3] == pytest.approx(exact, rel=0.03)


def test_mean_squared_correlation_is_one_over_the_number_of_independent_observations():
    assert SecondMoments(1.0).mean_squared_correlation(Extent(8, 4, 5)) == pytest.approx(1 / 20)
    assert SecondMoments(1.0, positions=1.0).mean_squared_correlation(Extent(8, 4, 5)) == pytest.approx(1 / 5)
    assert SecondMoments(1.0).mean_squared_correlation(Extent(8, 4, 5), within=0.5) == pytest.approx(0.5 / 5 + 0.8 * 0)
