"""Philox4x32-10: random bits as a pure function of a key and a counter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROUNDS", "Counters", "Key", "philox4x32", "words", "words_at"]

Counters = NDArray[np.uint64]
"""32-bit words, each in 64 bits, so that the product of two of them fits."""

Key = tuple[int, int]
"""Two words below 2**32."""

ROUNDS = 10

_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], dtype=np.uint64)
_WEYL = np.array([[0x9E3779B9], [0xBB67AE85]], dtype=np.uint64)


def philox4x32(counters: Counters, key: Key) -> Counters:
    """Turns each 128-bit counter into 128 random bits.

    Args:
        counters: shape ``(4, n)``, the least significant word first; words below 2**32.
        key: two words below 2**32.

    Returns:
        Shape ``(4, n)``, words below 2**32.

    Reference:
        Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), sections 3.3 and 4.3.

    >>> [f"{int(word):08x}" for word in philox4x32(np.zeros((4, 1), np.uint64), (0, 0))[:, 0]]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    # The two halves of a round differ only in their constants, so words 0 and 2 are one array, words 1 and 3 another.
    even, odd = counters[0::2].copy(), counters[1::2].copy()
    round_key = np.array([[key[0]], [key[1]]], dtype=np.uint64)
    product = np.empty_like(even)
    swapped = product[::-1]
    for _ in range(ROUNDS):
        np.multiply(even, _MULTIPLIERS, out=product)
        np.right_shift(swapped, _HALF, out=even)
        np.bitwise_xor(even, odd, out=even)
        np.bitwise_xor(even, round_key, out=even)
        np.bitwise_and(swapped, _MASK, out=odd)
        round_key = (round_key + _WEYL) & _MASK
    result = np.empty_like(counters)
    result[0::2], result[1::2] = even, odd
    return result


def words(key: Key, start: int, count: int) -> NDArray[np.uint32]:
    """The words of elements start, start + 1, …: element i is word ``i % 4`` of counter ``i // 4``.

    Args:
        key: of the stream.
        start: the index of the first element, below 2**63.
        count: how many.

    >>> words((0, 0), 2, 3).tolist() == [0xBC57AC4C, 0x9B00DBD8, *words((0, 0), 4, 1)]
    True
    """
    first, skip = divmod(start, 4)
    blocks = -(-(skip + count) // 4)
    return _of_counters(np.arange(blocks, dtype=np.uint64) + np.uint64(first), key).reshape(-1)[skip : skip + count]


def words_at(key: Key, indices: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The words of any elements; neighbours that share a counter cost one evaluation.

    Args:
        key: of the stream.
        indices: one axis; fastest in ascending order.

    >>> words_at((0, 0), np.array([3, 2])).tolist() == words((0, 0), 2, 2)[::-1].tolist()
    True
    """
    counters = indices >> 2
    first = np.ones(len(counters), dtype=bool)
    np.not_equal(counters[1:], counters[:-1], out=first[1:])
    blocks = _of_counters(counters[first].astype(np.uint64), key).reshape(-1)
    found: NDArray[np.uint32] = blocks[(np.cumsum(first) - 1) * 4 + (indices & 3)]
    return found


def _of_counters(numbers: Counters, key: Key) -> NDArray[np.uint32]:
    """Shape ``(n, 4)``."""
    counters = np.zeros((4, len(numbers)), dtype=np.uint64)
    counters[0] = numbers & _MASK
    counters[1] = numbers >> _HALF
    return np.ascontiguousarray(philox4x32(counters, key).T, dtype=np.uint32)
