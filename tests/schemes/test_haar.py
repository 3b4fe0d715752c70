"""Orthonormal rows: exact, and uniformly distributed over all of them."""

import math

import numpy as np
import pytest
import scipy.stats

from gainstage.schemes.haar import orthonormalize
from gainstage.streams import Normal, Stream


def drawn(groups, short, long, path="w"):
    rows = np.empty((groups, short, long), dtype=np.float32)
    Stream(0, path).fill(rows, Normal())
    orthonormalize(rows)
    return rows.astype(np.float64)


SHAPES = [(1, 1, 1), (9, 1, 9), (2, 63, 63), (2, 64, 65), (1, 65, 300), (3, 128, 128), (1, 129, 200), (1, 500, 500)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_are_orthonormal(shape):
    rows = drawn(*shape)
    assert np.abs(rows @ rows.swapaxes(1, 2) - np.eye(shape[1])).max() < 1e-5


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_product_of_the_reflections_one_by_one(shape):
    normals = np.empty(shape, dtype=np.float32)
    Stream(0, "w").fill(normals, Normal())
    for group, found in zip(normals.astype(np.float64), drawn(*shape), strict=True):
        q, signs = np.eye(shape[2]), []
        for k, row in enumerate(group):
            x = np.where(np.arange(shape[2]) < k, 0, row)
            v = x.copy()
            v[k] += math.copysign(np.linalg.norm(x), x[k])
            q -= 2 / (v @ v) * np.outer(q @ v, v)  # q = H_1 · H_2 · …
            signs.append(-math.copysign(1, x[k]))
        np.testing.assert_allclose(found, (q[:, : shape[1]] * signs).T, atol=1e-5)


GROUPS = 20_000


@pytest.mark.parametrize(("short", "long"), [(4, 4), (3, 5)])
def test_every_element_has_the_distribution_of_a_coordinate_on_the_sphere(short, long):
    """The square of a coordinate of a uniform unit vector is Beta(1/2, (n - 1)/2)."""
    rows = drawn(GROUPS, short, long)
    law = scipy.stats.beta(0.5, (long - 1) / 2)
    for i in range(short):
        for j in range(long):
            assert scipy.stats.kstest(np.minimum(rows[:, i, j] ** 2, 1), law.cdf).pvalue > 1e-4 / rows[0].size
            assert abs(np.sign(rows[:, i, j]).mean()) < scipy.stats.norm.isf(1e-4 / rows[0].size) / math.sqrt(GROUPS)


def test_traces_of_powers_are_those_of_the_orthogonal_group():
    """Diaconis and Shahshahani (1994): tr Q and (tr Q² - 1) / √2 have mean zero and variance one from n = 4 on."""
    q = drawn(GROUPS, 6, 6)
    first, second = np.trace(q, axis1=1, axis2=2), (np.trace(q @ q, axis1=1, axis2=2) - 1) / math.sqrt(2)
    for trace in (first, second):
        assert abs(trace.mean()) < 4 / math.sqrt(GROUPS)
        assert abs((trace**2).mean() - 1) < 4 * np.std(trace**2) / math.sqrt(GROUPS)


def test_reflections_and_rotations_are_equally_likely():
    positive = int((np.linalg.det(drawn(GROUPS, 5, 5)) > 0).sum())
    assert scipy.stats.binomtest(positive, GROUPS).pvalue > 1e-4


def test_turning_it_leaves_the_distribution_alone():
    """Of a Haar matrix, any fixed rotation is Haar again: here, of the largest element."""
    q, turn = drawn(GROUPS, 4, 4), drawn(1, 4, 4, "another")[0]
    other = drawn(GROUPS, 4, 4, "a third")
    for turned in (other @ turn, turn @ other):
        assert scipy.stats.ks_2samp(q.max((1, 2)), turned.max((1, 2))).pvalue > 1e-4


def test_elements_before_the_diagonal_are_not_read():
    normals = np.empty((1, 70, 90), dtype=np.float32)
    Stream(0, "w").fill(normals, Normal())
    poisoned = np.where(np.tri(70, 90, -1, dtype=bool), np.float32(np.nan), normals)
    orthonormalize(normals)
    orthonormalize(poisoned)
    np.testing.assert_array_equal(normals, poisoned)
