"""``philox`` and ``quantile`` in compiled code: the same bytes, some fifteen times as fast.

Imported by ``engine`` alone, and only when enough is drawn to pay for it. Three rules keep the bytes and the speed:

- every constant is a float32 (a Python literal would silently make the arithmetic float64);
- ``error_model="numpy"`` (Python's own would test each divisor and stop the loop from vectorising), and no fast-math,
  so that no product and sum are contracted into one rounding;
- blocks of 1,024 elements go through several short loops, not one long one: a loop vectorises only without a 64-bit
  product in it, and a processor hides the latency of the arithmetic only while a few iterations fit in its window.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from gainstage.streams.distributions import SIGN, UNIFORM
from gainstage.streams.philox import ROUNDS
from gainstage.streams.quantile import DENOMINATOR, LOG2, LOWEST_MANTISSA, NUMERATOR, PER_WORD

__all__ = ["fill", "fill_bfloat16", "fill_rows", "round_to_bfloat16"]

_BLOCK = 1024  # elements of 256 counters
_CHUNK = 16 * _BLOCK  # float32 numbers that stay in the cache until they are rounded
_PAIRS = 128  # of the counters of a block

_f, _i, _u = np.float32, np.int32, np.uint64
_LOW, _32 = np.uint64(0xFFFFFFFF), np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_0 = np.uint64(0)
_HALF, _ONE = np.float32(0.5), np.float32(1)
_I9, _I23, _I31, _SIGN, _REST = np.int32(9), np.int32(23), np.int32(31), np.int32(-0x80000000), np.int32(0x7FFFFFFF)
_I1 = np.int32(1)
_PER_STEP = np.float32(2.0**-22)
_N0, _N1, _N2, _N3, _N4, _N5, _N6 = NUMERATOR
_D0, _D1, _D2, _D3, _D4, _D5 = DENOMINATOR
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7 = LOG2

_compiled: Any = njit(nogil=True, cache=True, error_model="numpy")


@_compiled
def _draw_words(words: Any, key0: Any, key1: Any, first: Any, pairs: Any) -> None:
    """Eight words from each pair of counters; a pair is worked on at once, to hide the latency of the products."""
    for j in range(pairs):
        a = first + _u(j)
        b = a + _u(pairs)
        a0, a1, a2, a3 = a, a >> _32, _0, _0
        b0, b1, b2, b3 = b, b >> _32, _0, _0
        k0, k1 = key0, key1
        for _ in range(ROUNDS):
            # The upper halves of the words hold rubbish, which the masks keep from the next product.
            p, q = (a0 & _LOW) * _M0, (a2 & _LOW) * _M1
            r, s = (b0 & _LOW) * _M0, (b2 & _LOW) * _M1
            a0, a1, a2, a3 = (q >> _32) ^ a1 ^ k0, q, (p >> _32) ^ a3 ^ k1, p
            b0, b1, b2, b3 = (s >> _32) ^ b1 ^ k0, s, (r >> _32) ^ b3 ^ k1, r
            k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
        at = 4 * j
        words[at], words[at + 1] = np.uint32(a0), np.uint32(a1)
        words[at + 2], words[at + 3] = np.uint32(a2), np.uint32(a3)
        at += 4 * pairs
        words[at], words[at + 1] = np.uint32(b0), np.uint32(b1)
        words[at + 2], words[at + 3] = np.uint32(b2), np.uint32(b3)


@_compiled
def _draw_normal(out: Any, words: Any, rest: Any, scale: Any, within: Any, beyond: Any, bound: Any) -> None:
    """1024 normal numbers; ``rest`` is working memory of as many."""
    for j in range(_BLOCK):
        word = words[j]
        magnitude = _i(word ^ _i(word >> _I31))
        x = (_f(magnitude) + _HALF) * PER_WORD * within
        tail = (_f(_i(magnitude ^ _REST)) + _HALF) * PER_WORD * within + beyond
        rest[j] = tail + tail * x
        out[j] = _i(_f(x).view(np.int32) | _i(word & _SIGN)).view(np.float32)
    for j in range(_BLOCK):
        bits = _f(rest[j]).view(np.int32)
        exponent = _i(_i(bits - LOWEST_MANTISSA) >> _I23)
        r = _i(bits - _i(exponent << _I23)).view(np.float32) - _ONE
        square = r * r
        low, high = (_L0 + _L1 * r) + (_L2 + _L3 * r) * square, (_L4 + _L5 * r) + (_L6 + _L7 * r) * square
        rest[j] = -(_f(exponent) + (low + high * (square * square)) * r)
    for j in range(_BLOCK):
        at = rest[j]
        square = at * at
        fourth = square * square
        top = ((_N0 + _N1 * at) + (_N2 + _N3 * at) * square) + ((_N4 + _N5 * at) + _N6 * square) * fourth
        bottom = ((_D0 + _D1 * at) + (_D2 + _D3 * at) * square) + (_D4 + _D5 * at) * fourth
        out[j] = min(max(out[j] * (top / bottom), -bound), bound) * scale


@_compiled
def _draw_block(
    out: Any, words: Any, rest: Any, law: Any, scale: Any, shift: Any, within: Any, beyond: Any, bound: Any
) -> None:
    """``distributions.values`` of 1024 words."""
    if law == UNIFORM:
        for j in range(_BLOCK):
            out[j] = (_f(_i(words[j] >> _I9)) + _HALF) * _PER_STEP * scale + shift
    elif law == SIGN:
        for j in range(_BLOCK):
            out[j] = _f(_i(_i(words[j] >> _I31) | _I1)) * scale
    else:
        _draw_normal(out, words, rest, scale, within, beyond, bound)


@_compiled
def fill(
    out: Any, key0: Any, key1: Any, start: Any, law: Any, scale: Any, shift: Any, within: Any, beyond: Any, bound: Any
) -> None:
    """Writes elements start, start + 1, … of a stream into a contiguous float32 array."""
    words, drawn, rest = np.empty(_BLOCK, np.uint32), np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    signed = words.view(np.int32)
    counter, skip, done = start >> np.uint64(2), int(start & np.uint64(3)), 0
    while done < out.size:
        _draw_words(words, key0, key1, counter, _PAIRS)
        count = min(_BLOCK - skip, out.size - done)
        if count == _BLOCK:
            _draw_block(out[done : done + count], signed, rest, law, scale, shift, within, beyond, bound)
        else:
            _draw_block(drawn, signed, rest, law, scale, shift, within, beyond, bound)
            out[done : done + count] = drawn[skip : skip + count]
        counter, done, skip = counter + np.uint64(256), done + count, 0


@_compiled
def round_to_bfloat16(out: Any, bits: Any) -> None:
    """Rounds float32 numbers, given as their bits, to the nearest bfloat16, ties to even."""
    for j in range(out.size):
        up = np.uint32(0x7FFF) + np.uint32((bits[j] >> np.uint32(16)) & np.uint32(1))
        out[j] = np.uint16(np.uint32(bits[j] + up) >> np.uint32(16))


@_compiled
def fill_bfloat16(
    out: Any, key0: Any, key1: Any, start: Any, law: Any, scale: Any, shift: Any, within: Any, beyond: Any, bound: Any
) -> None:
    """Writes the elements that ``fill`` writes as bfloat16 numbers, given as 16-bit words."""
    numbers = np.empty(_CHUNK, np.float32)
    for done in range(0, out.size, _CHUNK):
        part = out[done : done + _CHUNK]
        exact = numbers[: part.size]
        fill(exact, key0, key1, start + _u(done), law, scale, shift, within, beyond, bound)
        round_to_bfloat16(part, exact.view(np.uint32))


@_compiled
def fill_rows(
    out: Any, key0: Any, key1: Any, starts: Any, law: Any, scale: Any, shift: Any, within: Any, beyond: Any, bound: Any
) -> None:
    """Fills each row of a contiguous float32 array by the elements from a start of its own on."""
    flat, length = out.reshape(-1), out.shape[1]
    words, drawn, rest = np.empty(_BLOCK, np.uint32), np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    met = np.empty(_BLOCK + 16, np.uint32)  # of the counters that a part of a row meets
    signed = words.view(np.int32)
    row, column = 0, 0
    for done in range(0, flat.size, _BLOCK):
        count, at = min(_BLOCK, flat.size - done), 0
        while at < count:
            part = min(length - column, count - at)
            first = starts[row] + _u(column)
            skip = int(first & np.uint64(3))
            _draw_words(met, key0, key1, first >> np.uint64(2), (skip + part + 7) // 8)
            words[at : at + part] = met[skip : skip + part]
            at, column = at + part, column + part
            if column == length:
                row, column = row + 1, 0
        if count == _BLOCK:
            _draw_block(flat[done : done + count], signed, rest, law, scale, shift, within, beyond, bound)
        else:
            _draw_block(drawn, signed, rest, law, scale, shift, within, beyond, bound)
            flat[done:] = drawn[:count]
