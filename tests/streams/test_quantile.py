"""The normal quantile against SciPy, the standard library and 40 digits of mpmath."""

import statistics

import mpmath
import numpy as np
import pytest
import scipy.special

from gainstage.streams.quantile import normal_quantile

EDGE = 2.0**-33
TAIL = np.geomspace(EDGE, 0.075, 50_000)
GRIDS = {
    "the whole range": (np.arange(200_000) + 0.5) / 200_000,
    "lower tail": TAIL,
    "upper tail": 1 - TAIL,
    "around the seams": np.concatenate([seam + np.linspace(-1e-6, 1e-6, 2001) for seam in (0.075, 0.925)]),
    "ends of a stream's grid": np.array([EDGE, 3 * EDGE, 1 - 3 * EDGE, 1 - EDGE]),
    "powers of two, where the logarithm changes exponent": 2.0 ** -np.arange(1, 34),
}


@pytest.mark.parametrize("p", GRIDS.values(), ids=GRIDS)
def test_agrees_with_scipy(p):
    # SciPy's own error (Cephes: 4e-14 at worst) is larger than ours.
    np.testing.assert_allclose(normal_quantile(p), scipy.special.ndtri(p), rtol=1e-13, atol=1e-15)


def test_agrees_with_the_same_algorithm_in_the_standard_library():
    p = np.concatenate([GRIDS["lower tail"][::50], GRIDS["upper tail"][::50], GRIDS["the whole range"][::100]])
    reference = np.array([statistics.NormalDist().inv_cdf(value) for value in p.tolist()])
    # Both round about thirty operations, and only theirs uses the C library's logarithm.
    np.testing.assert_allclose(normal_quantile(p), reference, rtol=16 * np.finfo(float).eps)


@pytest.mark.parametrize("p", [EDGE, 1e-6, 0.0749999, 0.0750001, 0.25, 0.4999, 0.7, 0.93, 1 - 1e-6, 1 - EDGE])
def test_inverts_the_distribution_function_in_40_digits(p):
    with mpmath.workdps(40):
        z = mpmath.mpf(float(normal_quantile(np.array([p]))[0]))
        slope = mpmath.npdf(z)
        error = (mpmath.ncdf(z) - mpmath.mpf(p)) / slope
    assert abs(error) <= 8 * np.finfo(float).eps * max(1.0, abs(z))


def test_is_exactly_antisymmetric_and_increasing():
    p = np.sort((np.random.default_rng(0).integers(0, 1 << 31, size=100_000) + 0.5) / 2**32)
    z = normal_quantile(p)
    np.testing.assert_array_equal(normal_quantile(1 - p), -z)
    assert (np.diff(z) >= 0).all()
    assert normal_quantile(np.array([0.5]))[0] == 0
