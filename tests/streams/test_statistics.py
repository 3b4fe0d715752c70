"""Distributions and independence. Seeds are fixed, so a test passes for good or fails for good."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from gainstage.streams import Stream

LAWS = {
    "uniform": (Stream.uniform, scipy.stats.uniform()),
    "normal": (Stream.normal, scipy.stats.norm()),
    "truncated_normal": (Stream.truncated_normal, scipy.stats.truncnorm(-2, 2)),
}
every_law = pytest.mark.parametrize(("draw", "law"), LAWS.values(), ids=LAWS)
pytestmark = pytest.mark.usefixtures("compiled")


def quantile(false_alarms, comparisons=1):
    """How many standard errors are exceeded by chance once in 1 / false_alarms runs of so many comparisons."""
    return scipy.stats.norm.isf(false_alarms / (2 * comparisons))


def anderson_darling(uniforms):
    """The p-value of Anderson and Darling's statistic, for large samples.

    Reference:
        Marsaglia and Marsaglia, "Evaluating the Anderson-Darling distribution" (J. Stat. Software 9, 2004), adinf.
    """
    u, n = np.sort(uniforms), len(uniforms)
    weights = 2 * np.arange(1, n + 1) - 1
    z = -n - np.mean(weights * (np.log(u) + np.log1p(-u[::-1])))
    if z < 2:
        series = 2.00012 + (0.247105 - (0.0649821 - (0.0347962 - (0.011672 - 0.00168691 * z) * z) * z) * z) * z
        return 1 - math.exp(-1.2337141 / z) / math.sqrt(z) * series
    series = 1.0776 - (2.30695 - (0.43424 - (0.082433 - (0.008056 - 0.0003146 * z) * z) * z) * z) * z
    return -math.expm1(-math.exp(series))


@every_law
def test_kolmogorov_smirnov(draw, law):
    assert scipy.stats.kstest(draw(Stream(0, "distribution"), 1_000_000).astype(float), law.cdf).pvalue > 1e-4


@every_law
def test_the_first_six_moments(draw, law):
    count = 4_000_000
    values = draw(Stream(1, "moments"), count).astype(float)
    for power in range(1, 7):
        mean, spread = law.moment(power), math.sqrt(law.moment(2 * power) - law.moment(power) ** 2)
        assert abs((values**power).mean() - mean) <= quantile(1e-4, 6) * spread / math.sqrt(count)


@pytest.mark.parametrize("beyond", [1.0, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("side", [-1, 1])
def test_anderson_darling_in_the_tails(beyond, side):
    values = side * Stream(2, "tails").normal(1 << 22).astype(float)
    tail = values[values > beyond]
    expected = scipy.stats.norm.sf(beyond) * (1 << 22)
    assert abs(len(tail) - expected) <= quantile(1e-4) * math.sqrt(expected)
    assert anderson_darling(scipy.stats.norm.sf(tail) / scipy.stats.norm.sf(beyond)) > 1e-4


def test_anderson_darling_at_the_ends_of_a_truncated_normal():
    values = Stream(2, "ends").truncated_normal(1 << 22).astype(float)
    ends = np.abs(values[np.abs(values) > 1.9])
    law = scipy.stats.truncnorm(1.9, 2)
    assert anderson_darling(law.cdf(np.minimum(ends, 2 - 1e-7))) > 1e-4


def test_words_hardly_ever_repeat():
    """No word returns: among 100,000 of 2**32 equally likely ones about 1.2 pairs are equal."""
    count = 100_000
    words = Stream(0, "w").words(count)
    assert count - np.unique(words).size <= scipy.stats.poisson.isf(1e-6, count * (count - 1) / 2 / 2**32)


def test_bits_are_fair_and_pairs_of_bits_independent():
    count = 400_000
    words = Stream(5, "bits").words(count)
    signs = np.array([1 - 2 * ((words >> place) & 1).astype(np.int32) for place in range(32)], dtype=np.float64)
    assert np.abs(signs.sum(1)).max() <= quantile(1e-4, 32) * math.sqrt(count)
    products = (signs @ signs.T)[np.triu_indices(32, k=1)]
    assert np.abs(products).max() <= quantile(1e-4, products.size) * math.sqrt(count)


def test_signs_are_fair():
    count = 1_000_000
    assert abs(Stream(0, "signs").sign(count).sum(dtype=float)) <= quantile(1e-4) * math.sqrt(count)


ADDRESSES = [
    (seed, path, block)
    for seed in (0, 1, 2, 2**63)
    for path in ("a", "b", "layers.0.weight", "layers.1.weight", "")
    for block in (0, 1)
]


@pytest.mark.parametrize("power", [1, 2])
def test_streams_of_neighbouring_addresses_are_independent(power):
    """Neither the values nor their squares correlate between seeds, paths or blocks."""
    count = 50_000
    draws = np.array([Stream(*address).normal(count) for address in ADDRESSES], dtype=np.float64) ** power
    draws -= 0 if power == 1 else 1
    correlation = (draws @ draws.T / count)[np.triu_indices(len(ADDRESSES), k=1)]
    spread = 1 if power == 1 else 2  # of a product: Var z = 1, Var z² = 2
    assert np.abs(correlation).max() <= quantile(1e-4, correlation.size) * spread / math.sqrt(count)


@pytest.mark.parametrize("power", [1, 2])
def test_elements_are_independent_at_short_lags_and_at_the_sizes_of_blocks(power):
    """Lags of 4 and 1,024 are the elements of one counter and of one block of the kernels."""
    count, lags = 500_000, [*range(1, 65), 256, 1000, 1024, 4096, 65536]
    values = Stream(0, "lags").normal(count + max(lags)).astype(float) ** power
    values -= 0 if power == 1 else 1
    products = np.array([(values[:count] * values[lag : count + lag]).mean() for lag in lags])
    assert np.abs(products).max() <= quantile(1e-4, len(lags)) * power / math.sqrt(count)


def test_pairs_fill_the_square():
    """Neighbours as points of a 64 × 64 grid, each cell equally likely."""
    u = Stream(9, "pairs").uniform(2_000_000).astype(float).reshape(-1, 2)
    cells = np.histogram2d(u[:, 0], u[:, 1], bins=64, range=[[0, 1], [0, 1]])[0]
    assert scipy.stats.chisquare(cells.reshape(-1)).pvalue > 1e-4


def test_all_orders_are_equally_likely():
    orders = dict.fromkeys(itertools.permutations(range(4)), 0)
    for seed in range(4_000):
        orders[tuple(Stream(seed, "order").permutation(4).tolist())] += 1
    assert scipy.stats.chisquare(list(orders.values())).pvalue > 1e-4


def test_a_permutation_keeps_no_order():
    count = 100_000
    order = Stream(0, "order").permutation(count)
    assert (order == np.arange(count)).sum() <= scipy.stats.poisson.isf(1e-6, 1)
    correlation = np.corrcoef(order, np.arange(count))[0, 1]
    assert abs(correlation) <= quantile(1e-4) / math.sqrt(count)
