"""Laws of Stream: addresses, fixed bytes, bad input."""

import dataclasses
import hashlib
import math

import numpy as np
import pytest

from gainstage.errors import InputError
from gainstage.streams import Normal, Sign, Stream, Uniform

DRAWS = {
    "uniform": Stream.uniform,
    "normal": Stream.normal,
    "truncated_normal": Stream.truncated_normal,
    "sign": Stream.sign,
}
every_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)

# sha256 of the first 5000 values as little-endian floats. They are part of the public promise: never change them.
GOLDEN = {
    ("uniform", 0, "blocks.0.weight", 0): "f9a0d4a2b5d210dc53ed13d2b59c90ad68474dc8538ac09a9f5907a728944e07",
    ("uniform", 2**64 - 1, "", 3): "6c9ff1560c25b9913a957c4c0db41ebeab906c3d9ea8b362c498aabe29e1160d",
    ("normal", 0, "blocks.0.weight", 0): "35e291d2e2798efcc5bdb860161030336e61ba46c8357d9eca66ea04229340cd",
    ("normal", 1234, "Gewichte/größe", 1): "b951c8506cab8e541575c81bdcd4a01cf829f44f641c6e45eff187a4e7221b1b",
    ("truncated_normal", 0, "blocks.0.weight", 0): "4f74c8999894dc85d892ae28c0cf142b4553c737f9ddf386651ef36f77bd55af",
    ("truncated_normal", 42, "head.weight", 2): "26c681aff08705075c0d60396d816d2f0537f1bdd2c5b87625b380b1fbc09128",
    ("sign", 0, "blocks.0.weight", 0): "c085941b1955653e138ffde8061e0e66e16283169c019d2690b86ee059455948",
}
GOLDEN_PERMUTATION = "3c10e456d9be20d5facd5675d45e44e872c0a1225ba5c8db5cbf4af759c2c01c"
GOLDEN_KEYS = {Stream(0, "blocks.0.weight"): (2837169206, 2985457127), Stream(2**64 - 1, "", 3): (429182000, 511139645)}


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize(("address", "expected"), GOLDEN.items(), ids=lambda value: str(value)[:40])
def test_golden_bytes(address, expected):
    name, seed, path, block = address
    values = DRAWS[name](Stream(seed, path, block), 5000)
    assert hashlib.sha256(values.astype("<f4").tobytes()).hexdigest() == expected


def test_golden_permutation():
    order = Stream(0, "blocks.0.weight").permutation(1000)
    assert hashlib.sha256(order.astype("<i8").tobytes()).hexdigest() == GOLDEN_PERMUTATION


@pytest.mark.parametrize(("source", "key"), GOLDEN_KEYS.items(), ids=str)
def test_golden_keys(source, key):
    assert source.key == key


@every_draw
def test_values_are_float32_of_the_length_asked_for(draw):
    for count in (0, 1, 5, np.int64(7)):
        values = draw(Stream(0, "w"), count)
        assert values.shape == (count,)
        assert values.dtype == np.float32


def test_a_permutation_holds_every_number_once():
    for count in (0, 1, 2, 1000):
        assert sorted(Stream(0, "w").permutation(count).tolist()) == list(range(count))


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


def test_a_bound_far_out_is_no_bound():
    source = Stream(0, "w")
    np.testing.assert_array_equal(source.truncated_normal(1000, bound=40), source.normal(1000))


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


@pytest.mark.parametrize("bound", [0, -1.0, math.nan, math.inf, "2"])
def test_bad_bounds(bound):
    with pytest.raises(InputError, match="positive, finite bound"):
        Stream(0, "w").truncated_normal(1, bound=bound)


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, 1e39, "1", None])
@pytest.mark.parametrize("distribution", [Normal, Sign])
def test_bad_spreads(distribution, bad):
    with pytest.raises(InputError, match=r"finite and at least zero; received"):
        distribution(bad)


@pytest.mark.parametrize("ends", [(0, math.inf), (math.nan, 1), (1, 0), ("0", 1)])
def test_bad_ends(ends):
    with pytest.raises(InputError, match="between two finite numbers"):
        Uniform(*ends)


def test_any_text_is_a_path():
    assert Stream(0, "\ud800").key != Stream(0, "?").key
