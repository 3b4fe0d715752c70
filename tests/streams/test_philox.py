"""Philox4x32-10 against its authors' known answers and against a scalar written from the paper."""

import numpy as np
import pytest

from gainstage.streams import Stream
from gainstage.streams.philox import philox4x32, words, words_at

ONES = 0xFFFFFFFF

# Counter, key and answer: the lines "philox4x32 10" of tests/kat_vectors in Random123.
KNOWN_ANSWERS = {
    "zeros": ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    "ones": ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    "digits of pi": (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
}


def scalar_philox4x32(counter, key):
    """One counter at a time, in Python's own integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 1 << 32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 1 << 32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % (1 << 32), (k1 + 0xBB67AE85) % (1 << 32)
    return c0, c1, c2, c3


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS.values(), ids=KNOWN_ANSWERS)
def test_known_answers(counter, key, answer):
    assert scalar_philox4x32(counter, key) == answer
    assert tuple(philox4x32(np.array([counter], dtype=np.uint64).T, key)[:, 0]) == answer


def test_agrees_with_the_scalar_reference_and_leaves_its_input_alone():
    generator = np.random.default_rng(0)
    counters = generator.integers(0, 1 << 32, size=(4, 200), dtype=np.uint64)
    before = counters.copy()
    key = tuple(int(word) for word in generator.integers(0, 1 << 32, size=2))
    words = philox4x32(counters, key)
    assert (counters == before).all()
    for column in range(counters.shape[1]):
        expected = scalar_philox4x32([int(word) for word in counters[:, column]], key)
        assert tuple(int(word) for word in words[:, column]) == expected


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize("start", [0, 3, 2**34 - 6, 2**53 + 1, 2**62 + 5])
def test_element_i_is_word_i_mod_4_of_counter_i_div_4(start):
    """The addressing that every later implementation must share, across the carry into the second word too."""
    stream = Stream(7, "blocks.0.weight", block=2)
    words, values = stream.words(20, start=start), stream.uniform(20, start=start)
    for i, (word, value) in enumerate(zip(words.tolist(), values.tolist(), strict=True), start):
        low, high = (i // 4) % (1 << 32), (i // 4) >> 32
        expected = scalar_philox4x32((low, high, 0, 0), stream.key)[i % 4]
        assert word == expected
        signed = expected - (1 << 32 if expected >> 31 else 0)
        assert value == 0.5 + (2 * (signed // 512) + 1) / 2**24


def test_words_of_any_elements_in_any_order():
    indices = np.random.default_rng(0).integers(0, 10_000, 500)
    np.testing.assert_array_equal(words_at((1, 2), indices), words((1, 2), 0, 10_000)[indices])
    np.testing.assert_array_equal(words_at((1, 2), np.sort(indices)), words((1, 2), 0, 10_000)[np.sort(indices)])
    assert words_at((1, 2), indices[:0]).size == 0
