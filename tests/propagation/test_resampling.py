"""Weighted means of places and windows that overlap, against sums over all pairs and against draws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from gainstage.propagation.pooling import overlapping
from gainstage.propagation.resampling import gathered
from gainstage.propagation.second_moments import SecondMoments
from gainstage.theory.images.spatial import resampling_matrix
from gainstage.theory.images.windows import Window

KINDS = [("linear", 4, 8), ("linear", 6, 5), ("cubic", 5, 10), ("nearest", 4, 8)]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_pairs_of_weighted_means_are_those_of_the_whole_matrix(kind, turned):
    """Two axes written out as one matrix over all places that are equally alike."""
    name, old, new = kind
    weights = resampling_matrix(old, new, name)
    weights = weights.T if turned else weights
    outputs, places = weights.shape
    whole = np.kron(weights, weights)
    inside = np.full((places**2, places**2), 0.3)
    np.fill_diagonal(inside, 1.0)
    found = whole @ inside @ whole.T
    level, count = np.trace(found) / outputs**2, outputs**2
    pairs, edge_profiles = gathered(SecondMoments(1.0, 0.2, 0.3, 0.25, across_both=0.1), 0.1, (weights, weights))
    assert pairs.level == pytest.approx(level)
    assert pairs.positions == pytest.approx((found.sum() - count * level) / (count * (count - 1)))
    other = np.full_like(inside, 0.1)
    np.fill_diagonal(other, 0.25)
    beside = whole @ other @ whole.T
    assert pairs.examples == pytest.approx(np.trace(beside) / count)
    assert pairs.across_both == pytest.approx((beside.sum() - np.trace(beside)) / (count * (count - 1)))
    along = np.diag(found).reshape(outputs, outputs).mean(1)
    expected = along / along.mean()
    for border in edge_profiles:
        np.testing.assert_allclose(np.ones(outputs) if border is None else border, expected, atol=1e-9)


@pytest.mark.parametrize("window", [(9, 3, 1, 1), (11, 3, 2, 0), (12, 2, 2, 0), (10, 4, 1, 2)])
def test_windows_that_share_a_place_share_the_winner(window):
    """Of how many windows a place is the largest, squared, against draws."""
    size, kernel, stride, padding = window
    draws = torch.randn(400, 1, size, size, generator=torch.Generator().manual_seed(0), requires_grad=True)
    out = functional.max_pool2d(draws, kernel, stride, padding)
    (won,) = torch.autograd.grad(out.sum(), draws)
    axis = Window(size, out.shape[-1], kernel, stride, padding)
    expected = sum(way.pairs * way.same for way in overlapping((axis, axis)))
    each = (won * (won - 1)).sum((1, 2, 3)) / out[0].numel()
    error = 4 * each.std().item() / 20
    assert each.mean().item() == pytest.approx(expected, abs=error)
    assert (expected == 0) == (stride >= kernel)


def test_no_way_is_counted_twice():
    axis = Window(40, 40, 3, 1, 1)
    ways = overlapping((axis, axis))
    assert len(ways) == 24
    offsets = [o for o in itertools.product(range(-2, 3), repeat=2) if o != (0, 0)]
    assert sorted(w.shared for w in ways) == sorted((3 - abs(a)) * (3 - abs(b)) for a, b in offsets)
    assert sum(way.neighbour for way in ways) == pytest.approx(1.0)
