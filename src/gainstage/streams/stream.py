"""Stream: the random numbers of one parameter."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import InputError
from gainstage.streams.philox import philox4x32
from gainstage.streams.quantile import normal_quantile

__all__ = ["Stream"]

Floats = NDArray[np.float64]

# Elements worked on at once, a multiple of four: the working arrays stay in the processor's cache and memory bounded.
_CHUNK = 1 << 14

_SEEDS = 1 << 64
_WORD = 1 << 32
# P(|z| < 2) and P(z < -2). Written out, because erf is not rounded alike on every machine.
_WITHIN_2 = 0.9544997361036416
_BELOW_2 = 0.02275013194817921


@dataclass(frozen=True, slots=True)
class Stream:
    """Random numbers that depend on a seed, a name and a place, and on nothing else.

    Element i is a pure function of ``(seed, path, block, i)``: asking for more, for a part, in another order, on
    another machine or in another thread gives the same bytes. The generator is Philox4x32-10; element i is word
    ``i % 4`` of counter ``i // 4``, and the 64-bit key is the BLAKE2b hash of the three fields.

    Args:
        seed: of the whole model, 0 <= seed < 2**64.
        path: the parameter, e.g. ``blocks.0.weight``.
        block: which of several equal matrices stacked in one parameter.

    Raises:
        InputError: a seed or block out of range, or a field of the wrong type.

    Reference:
        Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

    >>> stream = Stream(seed=0, path="blocks.0.weight")
    >>> bool((stream.normal(10)[6:] == stream.normal(4, start=6)).all())
    True
    """

    seed: int
    path: str
    block: int = 0

    def __post_init__(self) -> None:
        _require_index("A stream's seed", self.seed, _SEEDS)
        _require_index("A stream's block", self.block, _SEEDS)
        if not isinstance(self.path, str):
            raise InputError(f"A stream's path is a string, the parameter's name; received {self.path!r}.")

    @property
    def key(self) -> tuple[int, int]:
        """Philox's two key words: eight bytes of BLAKE2b over ``seed NUL block NUL path``, little-endian."""
        text = f"{int(self.seed)}\0{int(self.block)}\0{self.path}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, digest_size=8, person=b"gainstage.stream").digest()
        return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")

    def uniform(self, count: int, *, start: int = 0) -> Floats:
        """Uniform on (0, 1): the midpoints (k + ½) / 2**32, so neither end is ever reached.

        Args:
            count: how many.
            start: the index of the first.

        Raises:
            InputError: a negative or fractional count or start.

        >>> Stream(0, "weight").uniform(3).round(6)
        array([0.466118, 0.305455, 0.134814])
        """
        return self._each(count, start, lambda u: u)

    def normal(self, count: int, *, start: int = 0) -> Floats:
        """Standard normal, by the quantile of ``uniform``; never beyond ±6.338.

        Args:
            count: how many.
            start: the index of the first.

        Raises:
            InputError: a negative or fractional count or start.

        >>> Stream(0, "weight").normal(3).round(6)
        array([-0.085033, -0.508775, -1.103918])
        """
        return self._each(count, start, normal_quantile)

    def truncated_normal(self, count: int, *, bound: float = 2.0, start: int = 0) -> Floats:
        """Standard normal given that it lies within ±bound; its spread is below one (.8796 for a bound of 2).

        Same bytes on every machine for the default bound. Any other needs ``erf``, whose last bit may differ between
        C libraries.

        Args:
            count: how many.
            bound: where to cut, in standard deviations.
            start: the index of the first.

        Raises:
            InputError: a bound that is not positive and finite; a negative or fractional count or start.

        >>> bool(abs(Stream(0, "weight").truncated_normal(1000)).max() <= 2)
        True
        """
        below, within = _truncation(bound)
        return self._each(count, start, lambda u: normal_quantile(u * within + below))

    def _each(self, count: int, start: int, transform: Callable[[Floats], Floats]) -> Floats:
        _require_index("The count", count, 1 << 63)
        _require_index("The start", start, 1 << 63)
        values = np.empty(count, dtype=np.float64)
        key = self.key
        for offset in range(0, count, _CHUNK):
            size = min(_CHUNK, count - offset)
            values[offset : offset + size] = transform(_uniforms(key, start + offset, size))
        return values


def _uniforms(key: tuple[int, int], start: int, count: int) -> Floats:
    first, skip = divmod(start, 4)
    blocks = -(-(skip + count) // 4)
    numbers = np.arange(blocks, dtype=np.uint64) + np.uint64(first)
    counters = np.zeros((4, blocks), dtype=np.uint64)
    counters[0] = numbers & np.uint64(_WORD - 1)
    counters[1] = numbers >> np.uint64(32)
    values = philox4x32(counters, key).T.astype(np.float64, order="C").reshape(-1)
    values += 0.5
    values *= 1 / _WORD
    return values[skip : skip + count]


def _truncation(bound: float) -> tuple[float, float]:
    """P(z < -bound) and P(|z| < bound)."""
    if not isinstance(bound, int | float | np.integer | np.floating) or not 0 < bound < math.inf:
        raise InputError(f"A normal is truncated at a positive, finite bound; received {bound!r}.")
    if bound == 2:
        return _BELOW_2, _WITHIN_2
    return math.erfc(bound / math.sqrt(2)) / 2, math.erf(bound / math.sqrt(2))


def _require_index(what: str, value: object, limit: int) -> None:
    if not isinstance(value, int | np.integer) or not 0 <= value < limit:
        raise InputError(f"{what} is a whole number from 0 to below 2**{limit.bit_length() - 1}; received {value!r}.")
