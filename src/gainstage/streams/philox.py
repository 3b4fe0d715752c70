"""Philox4x32-10: random bits as a pure function of a key and a counter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROUNDS", "Words", "philox4x32"]

Words = NDArray[np.uint64]
"""32-bit words, each in 64 bits, so that the product of two of them fits."""

ROUNDS = 10

_MASK = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = np.array([[0xD2511F53], [0xCD9E8D57]], dtype=np.uint64)
_WEYL = np.array([[0x9E3779B9], [0xBB67AE85]], dtype=np.uint64)


def philox4x32(counters: Words, key: tuple[int, int]) -> Words:
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
    words = np.empty_like(counters)
    words[0::2], words[1::2] = even, odd
    return words
