"""The definition of every draw: from a 32-bit word to a float32 number, in arithmetic that every machine rounds alike.

IEEE 754 fixes the results of + - × ÷ √ to the last bit, but not those of log, exp or erf, which differ between C
libraries and between processors. The functions here use the former alone, in float32 and in a fixed order, without
branches. ``kernels`` repeats them in compiled code; both give the same bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DENOMINATOR", "LOG2", "LOWEST_MANTISSA", "NUMERATOR", "PER_WORD", "Floats", "Words",
    "normal_from_words", "sign_from_words", "uniform_from_words",
]  # fmt: skip

Floats = NDArray[np.float32]
Words = NDArray[np.uint32]

# z / x as a function of -log2(1 - x²), and log2(1 + r) / r: minimax fits by benchmarks/long/quantile_fit.py, constant
# terms first. Their own errors are 2e-8 relative and 5e-8 absolute. With rounding, the result is within 6 ulps of the
# exact quantile, 1 ulp in the root mean square.
NUMERATOR = tuple(
    map(np.float32, (1.25331414, 0.310155362, 0.0437284708, 0.00417157356, 2.6281926e-4, 9.50452704e-6, 2.12694662e-8))
)
DENOMINATOR = tuple(map(np.float32, (1, 0.0660024658, 0.0166524462, 7.70063605e-4, 5.73993966e-5, 5.99423117e-7)))
LOG2 = tuple(
    map(
        np.float32,
        (1.44269478, -0.721357167, 0.480939329, -0.360086918, 0.286707193, -0.250068724, 0.236890286, -0.145744368),
    )
)
LOWEST_MANTISSA = np.int32(np.float32(0.5**0.5).view(np.int32))
"""Bits of √½: mantissas run from √½ to √2, so that their logarithms are small on both sides of one."""

PER_WORD = np.float32(2.0**-31)
_HALF = np.float32(0.5)
_ONE = np.float32(1)
_ALL_BUT_SIGN = np.int32(0x7FFFFFFF)
_SIGN = np.int32(-0x80000000)


def normal_from_words(words: Words, within: float = 1.0, beyond: float = 0.0) -> Floats:
    """Standard normal numbers, one from each word, optionally truncated.

    A word read as a signed integer n gives x = P(|Z| < |z|) = (a + ½) / 2**31 with a = n or -1 - n, and the sign of z.
    1 - x comes from the same integer without a subtraction of floats, so the tails are exact down to P(|Z| > z) =
    2**-32, |z| = 6.338. For a normal truncated at ±c, x runs up to ``within`` = P(|Z| < c) alone.

    Args:
        words: one axis.
        within: P(|Z| < c) for a truncated normal.
        beyond: 1 - ``within``, which float32 could not find by subtraction.

    Returns:
        As many values, within 6 ulps of the exact quantile, exactly antisymmetric under n → -1 - n.

    >>> normal_from_words(np.array([0, 2**31 - 1, 2**31], dtype=np.uint32))
    array([ 2.9180994e-10,  6.3379574e+00, -6.3379574e+00], dtype=float32)
    """
    signed = words.view(np.int32)
    magnitude = signed ^ (signed >> 31)
    x = (magnitude.astype(np.float32) + _HALF) * PER_WORD * np.float32(within)
    rest = ((magnitude ^ _ALL_BUT_SIGN).astype(np.float32) + _HALF) * PER_WORD * np.float32(within) + np.float32(beyond)
    size = x * _rational(_minus_log2(rest + rest * x))
    signed_size: Floats = (size.view(np.int32) | (signed & _SIGN)).view(np.float32)
    return signed_size


def uniform_from_words(words: Words) -> Floats:
    """Uniform numbers on (-1, 1), one from each word: the 2**23 midpoints (k + ½) / 2**22 of its upper 23 bits.

    Every value is exact, and so is ½ + ½u, which is uniform on (0, 1); neither end is ever reached.

    >>> uniform_from_words(np.array([0, 2**31 - 1, 2**31], dtype=np.uint32))
    array([ 1.1920929e-07,  9.9999988e-01, -9.9999988e-01], dtype=float32)
    """
    steps: Floats = (words.view(np.int32) >> 9).astype(np.float32) + _HALF
    return steps * np.float32(2.0**-22)


def sign_from_words(words: Words) -> Floats:
    """-1 or 1, one from each word: the sign of the word read as a signed integer.

    >>> sign_from_words(np.array([0, 2**31], dtype=np.uint32))
    array([ 1., -1.], dtype=float32)
    """
    signs: Floats = ((words.view(np.int32) >> 31) | np.int32(1)).astype(np.float32)
    return signs


def _minus_log2(value: Floats) -> Floats:
    """-log2 of positive numbers."""
    bits = value.view(np.int32)
    exponent = (bits - LOWEST_MANTISSA) >> 23
    r = (bits - (exponent << 23)).view(np.float32) - _ONE
    c0, c1, c2, c3, c4, c5, c6, c7 = LOG2
    square = r * r
    low, high = (c0 + c1 * r) + (c2 + c3 * r) * square, (c4 + c5 * r) + (c6 + c7 * r) * square
    log2: Floats = exponent.astype(np.float32) + (low + high * (square * square)) * r
    return -log2


def _rational(at: Floats) -> Floats:
    """Evaluates NUMERATOR / DENOMINATOR in pairs of terms, which shortens the chain of dependent operations."""
    n0, n1, n2, n3, n4, n5, n6 = NUMERATOR
    d0, d1, d2, d3, d4, d5 = DENOMINATOR
    square = at * at
    fourth = square * square
    top = ((n0 + n1 * at) + (n2 + n3 * at) * square) + ((n4 + n5 * at) + n6 * square) * fourth
    bottom = ((d0 + d1 * at) + (d2 + d3 * at) * square) + (d4 + d5 * at) * fourth
    ratio: Floats = top / bottom
    return ratio
