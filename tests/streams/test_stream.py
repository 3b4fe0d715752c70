"""Laws of Stream: addresses, independence, distributions, fixed bytes, bad input."""

import dataclasses
import hashlib
import math
import random

import numpy as np
import pytest
import scipy.stats

from gainstage.errors import InputError
from gainstage.streams import Stream, stream

DRAWS = {
    "uniform": (Stream.uniform, scipy.stats.uniform()),
    "normal": (Stream.normal, scipy.stats.norm()),
    "truncated_normal": (Stream.truncated_normal, scipy.stats.truncnorm(-2, 2)),
}
every_draw = pytest.mark.parametrize("draw", [draw for draw, _ in DRAWS.values()], ids=DRAWS)

# sha256 of the first 5000 values as little-endian doubles. They are part of the public promise: never change them.
GOLDEN = {
    ("uniform", 0, "blocks.0.weight", 0): "8140b0dbb47484401d83090b2427f23704e4c4275db3d3b64a90967278a31082",
    ("uniform", 2**64 - 1, "", 3): "4d21614b7604102006919cf9b9a209a02f98c13af9a062db24256538e494e9a5",
    ("normal", 0, "blocks.0.weight", 0): "31ebee0d802077a86538bee4b430969f221fc9d2ca955d4f531aa0bbf4afb870",
    ("normal", 1234, "Gewichte/größe", 1): "4cb6bea49b65b225abc39216d6651ae7cb0c21f2467f2a02810311cc2ba106e8",
    ("truncated_normal", 0, "blocks.0.weight", 0): "46839ccb560d0eaa7c78cfd6dade0891fcba9392094e987a661789cffbfcd85c",
    ("truncated_normal", 42, "head.weight", 2): "bbf9779d542ee68fe94e75619f061691b660ae4e759e69c64e6dbef3a22b68c4",
}
GOLDEN_KEYS = {Stream(0, "blocks.0.weight"): (2837169206, 2985457127), Stream(2**64 - 1, "", 3): (429182000, 511139645)}


def quantile(false_alarms, comparisons=1):
    """How many standard errors are exceeded by chance once in 1 / false_alarms runs of so many comparisons."""
    return scipy.stats.norm.isf(false_alarms / (2 * comparisons))


@pytest.mark.parametrize(("address", "expected"), GOLDEN.items(), ids=lambda value: str(value)[:40])
def test_golden_bytes(address, expected):
    name, seed, path, block = address
    values = DRAWS[name][0](Stream(seed, path, block), 5000)
    assert hashlib.sha256(values.astype("<f8").tobytes()).hexdigest() == expected


@pytest.mark.parametrize(("source", "key"), GOLDEN_KEYS.items(), ids=str)
def test_golden_keys(source, key):
    assert source.key == key


@every_draw
def test_element_i_depends_on_i_alone(draw):
    source = Stream(3, "w")
    whole = draw(source, 50_000)
    cuts = random.Random(0)
    for _ in range(50):
        start = cuts.randrange(50_000)
        count = cuts.randrange(min(20_000, 50_000 - start) + 1)
        np.testing.assert_array_equal(draw(source, count, start=start), whole[start : start + count])


@every_draw
@pytest.mark.parametrize("chunk", [4, 64, 1 << 20])
def test_chunking_changes_nothing(draw, chunk, monkeypatch):
    source = Stream(3, "w")
    whole = draw(source, 5001, start=2)
    monkeypatch.setattr(stream, "_CHUNK", chunk)
    np.testing.assert_array_equal(draw(source, 5001, start=2), whole)


@every_draw
def test_values_are_float64_of_the_length_asked_for(draw):
    for count in (0, 1, 5, np.int64(7)):
        values = draw(Stream(0, "w"), count)
        assert values.shape == (count,)
        assert values.dtype == np.float64


@every_draw
def test_values_hardly_ever_repeat(draw):
    """No value returns: among 100,000 of 2**32 equally likely ones about 1.2 pairs collide."""
    count = 100_000
    values = draw(Stream(0, "w"), count)
    expected = count * (count - 1) / 2 / 2**32
    assert count - np.unique(values).size <= scipy.stats.poisson.isf(1e-6, expected)


@pytest.mark.parametrize(("draw", "law"), DRAWS.values(), ids=DRAWS)
def test_distribution(draw, law):
    """Kolmogorov-Smirnov at a false alarm rate of 1e-4; the seed is fixed, so it passes for good or fails for good."""
    values = draw(Stream(0, "distribution"), 200_000)
    assert scipy.stats.kstest(values, law.cdf).pvalue > 1e-4


@pytest.mark.parametrize(("draw", "law"), DRAWS.values(), ids=DRAWS)
def test_first_four_moments(draw, law):
    count = 1_000_000
    values = draw(Stream(1, "moments"), count)
    for power in (1, 2, 3, 4):
        mean, spread = law.moment(power), math.sqrt(law.moment(2 * power) - law.moment(power) ** 2)
        assert abs((values**power).mean() - mean) <= quantile(1e-4, 4) * spread / math.sqrt(count)


def test_bits_of_the_uniforms_are_fair():
    count = 400_000
    bits = (Stream(5, "bits").uniform(count) * 2**32 - 0.5).astype(np.uint32)
    ones = [int(((bits >> place) & 1).sum()) for place in range(32)]
    bound = quantile(1e-4, 32) * math.sqrt(count) / 2
    assert max(abs(number - count / 2) for number in ones) <= bound


def test_streams_of_neighbouring_addresses_are_uncorrelated():
    count = 20_000
    addresses = [(seed, path, block) for seed in (0, 1) for path in ("a", "b", "a.0", "") for block in (0, 1, 2)]
    draws = np.array([Stream(*address).normal(count) for address in addresses])
    correlation = (draws @ draws.T / count)[np.triu_indices(len(addresses), k=1)]
    # The mean product of two independent standard normals has a standard error of 1 / sqrt(count).
    assert np.abs(correlation).max() <= quantile(1e-4, correlation.size) / math.sqrt(count)


def test_elements_of_one_stream_are_uncorrelated_at_every_short_lag():
    count, lags = 200_000, 64
    values = Stream(0, "lags").normal(count + lags)
    products = np.array([(values[:count] * values[lag : count + lag]).mean() for lag in range(1, lags + 1)])
    assert np.abs(products).max() <= quantile(1e-4, lags) / math.sqrt(count)


def test_no_two_addresses_share_a_key():
    """The fields are separated in the hash, so digits cannot wander from one to the next."""
    addresses = [
        Stream(seed, path, block)
        for seed in (0, 1, 10, 11, 2**64 - 1)
        for path in ("", "0", "1", "w", "w.0", "w\0", "\0w", "0\0w")
        for block in (0, 1, 10, 11)
    ]
    assert len({address.key for address in addresses}) == len(addresses)


def test_a_numpy_seed_is_the_same_seed():
    assert Stream(np.uint64(7), "w", np.int32(1)).key == Stream(7, "w", 1).key


@pytest.mark.parametrize("bound", [1e-3, 0.5, 1.0, 2, 3.0, 5.5, 40.0])
def test_truncation_at_any_bound(bound):
    count = 100_000
    values = Stream(0, "bound").truncated_normal(count, bound=bound)
    assert np.abs(values).max() <= bound
    assert scipy.stats.kstest(values, scipy.stats.truncnorm(-bound, bound).cdf).pvalue > 1e-4


def test_a_bound_far_out_is_no_bound():
    source = Stream(0, "w")
    np.testing.assert_array_equal(source.truncated_normal(1000, bound=40), source.normal(1000))


def test_the_hard_coded_bound_agrees_with_erf():
    source = Stream(0, "w")
    below, within = math.erfc(math.sqrt(2)) / 2, math.erf(math.sqrt(2))
    expected = stream.normal_quantile(source.uniform(1000) * within + below)
    np.testing.assert_allclose(source.truncated_normal(1000), expected, rtol=1e-14, atol=1e-15)


def test_the_extreme_bits_stay_inside_the_open_interval_and_the_bound():
    ends = np.array([0.5, 2**32 - 0.5]) / 2**32
    assert ends.min() > 0
    assert ends.max() < 1
    np.testing.assert_array_less(np.abs(stream.normal_quantile(ends)), 6.338)
    below, within = stream._truncation(2.0)
    assert np.abs(stream.normal_quantile(ends * within + below)).max() <= 2


def test_is_a_frozen_value():
    assert Stream(0, "w") == Stream(0, "w", 0)
    assert len({Stream(0, "w"), Stream(0, "w"), Stream(1, "w")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Stream(0, "w").seed = 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ((-1, "w"), "seed.*received -1"),
        ((2**64, "w"), "seed.*below 2\\*\\*64"),
        ((0.5, "w"), "seed.*received 0.5"),
        (("0", "w"), "seed.*received '0'"),
        ((0, b"w"), "path is a string.*received b'w'"),
        ((0, "w", -1), "block.*received -1"),
        ((0, "w", None), "block.*received None"),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(InputError, match=message):
        Stream(*fields)


@every_draw
@pytest.mark.parametrize("bad", [{"count": -1}, {"count": 2.0}, {"count": 1, "start": -1}, {"count": 1, "start": "0"}])
def test_bad_counts(draw, bad):
    with pytest.raises(InputError, match=r"The (count|start) is a whole number"):
        draw(Stream(0, "w"), **bad)


@pytest.mark.parametrize("bound", [0, -1.0, math.nan, math.inf, "2", None])
def test_bad_bounds(bound):
    with pytest.raises(InputError, match="positive, finite bound"):
        Stream(0, "w").truncated_normal(1, bound=bound)


def test_any_text_is_a_path():
    assert Stream(0, "\ud800").key != Stream(0, "?").key
