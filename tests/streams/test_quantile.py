"""The float32 quantile against 40 digits of mpmath and against SciPy."""

import mpmath
import numpy as np
import pytest
import scipy.special
import scipy.stats

from gainstage.streams import Normal
from gainstage.streams.distributions import _probability_within, values
from gainstage.streams.quantile import normal_from_words, sign_from_words, uniform_from_words

LARGEST = 2**31 - 1  # of the words with positive values
EVERYWHERE = np.random.default_rng(0).integers(0, LARGEST, 200_000)
TAIL = LARGEST - np.unique(np.geomspace(1, 2**31, 100_000).astype(np.int64) - 1)
SEAMS = np.concatenate([LARGEST - 2**power + np.arange(-200, 200) for power in range(10, 31)])
GRIDS = {"everywhere": EVERYWHERE, "tail": TAIL, "around the powers of two": SEAMS, "ends": np.array([0, 1, LARGEST])}

# What benchmarks/long/quantile_fit.py --measure finds over four million words in each octave, and a little room.
ULPS = 6.5


def drawn(magnitudes, bound=None):
    constants = Normal(bound=bound).constants
    return normal_from_words(magnitudes.astype(np.uint32), constants.within, constants.beyond)


@pytest.mark.parametrize("bound", [None, 0.1, 1.0, 2.0, 5.5])
@pytest.mark.parametrize("magnitudes", GRIDS.values(), ids=GRIDS)
def test_agrees_with_scipy_to_a_few_ulps(magnitudes, bound):
    rest = (LARGEST - magnitudes + 0.5) / 2**31
    within, beyond = (
        (1.0, 0.0) if bound is None else (scipy.special.erf(bound / 2**0.5), scipy.special.erfc(bound / 2**0.5))
    )
    tail, x = beyond + within * rest, within * (magnitudes + 0.5) / 2**31
    exact = 2**0.5 * np.where(tail > 0.5, scipy.special.erfinv(x), scipy.special.erfcinv(tail))
    error = (drawn(magnitudes, bound) - exact) / np.spacing(exact.astype(np.float32))
    assert np.abs(error).max() <= ULPS


@pytest.mark.parametrize("rest", [0, 1, 2, 1000, 2**20, 2**30, LARGEST])
def test_inverts_the_distribution_function_in_40_digits(rest):
    with mpmath.workdps(40):
        beyond = mpmath.mpf(2 * rest + 1) / 2**32
        z = float(drawn(np.array([LARGEST - rest]))[0])
        error = (mpmath.erfc(mpmath.mpf(z) / mpmath.sqrt(2)) - beyond) / (2 * mpmath.npdf(z))
    assert abs(error) <= ULPS * np.spacing(np.float32(z))


def test_the_tails_reach_two_to_the_minus_32():
    beyond = 2 * scipy.stats.norm.sf(drawn(np.array([LARGEST])).astype(float))
    # dP/P = z φ(z) / P · dz/z, about 41 there.
    assert beyond[0] == pytest.approx(2.0**-32, rel=41 * ULPS * 2.0**-23)


@pytest.mark.parametrize("transform", [normal_from_words, uniform_from_words, sign_from_words])
def test_is_exactly_antisymmetric(transform):
    words = EVERYWHERE.astype(np.uint32)
    np.testing.assert_array_equal(transform(~words), -transform(words))


def test_rises_but_for_rounding():
    z = drawn(np.sort(EVERYWHERE)).astype(float)
    assert (np.diff(z) >= -2 * ULPS * np.spacing(z[1:].astype(np.float32))).all()


def test_uniform_values_are_exact_midpoints():
    words = np.concatenate([EVERYWHERE, [0, LARGEST, 2**31, 2**32 - 1]]).astype(np.uint32)
    u = uniform_from_words(words).astype(float)
    signed = words.view(np.int32).astype(np.int64)
    np.testing.assert_array_equal(u, (2 * (signed // 512) + 1) / 2**23)
    assert np.abs(u).max() < 1


@pytest.mark.parametrize("bound", [1e-3, 0.1, 0.5, 1.0, 2.0, 3.0, 5.5, 7.9])
def test_the_probability_within_a_bound_agrees_with_erf(bound):
    assert _probability_within(bound) == pytest.approx(scipy.special.erf(bound / 2**0.5), rel=1e-14)
    assert 1 - _probability_within(bound) == pytest.approx(scipy.special.erfc(bound / 2**0.5), rel=1e-7, abs=1e-14)


@pytest.mark.parametrize("bound", [1e-3, 0.5, 2.0, 3.0, 40.0])
def test_no_value_passes_the_bound(bound):
    ends = np.array([0, LARGEST, 2**31, 2**32 - 1], dtype=np.uint32)
    assert np.abs(values(ends, Normal(bound=bound).constants)).max() <= np.float32(bound)
