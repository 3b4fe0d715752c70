"""Stream: the random numbers of one parameter."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import InputError
from gainstage.streams import filling, philox
from gainstage.streams.distributions import Distribution, Normal, Sign, Uniform
from gainstage.streams.quantile import Floats, Words

__all__ = ["Stream"]

_SEEDS = 1 << 64
_INDICES = 1 << 63


@dataclass(frozen=True, slots=True)
class Stream:
    """Random numbers that depend on a seed, a name and a place, and on nothing else.

    Element i is a pure function of ``(seed, path, block, i)``: more of them, a part of them, another order, machine,
    number of threads or number format gives the same values. The generator is Philox4x32-10; element i is word
    ``i % 4`` of counter ``i // 4``, and the 64-bit key is the BLAKE2b hash of the three fields. A word becomes a
    float32 number in arithmetic that every machine rounds alike (``quantile``); other formats hold that number,
    rounded once.

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

    def fill(
        self,
        out: NDArray[Any],
        distribution: Distribution,
        *,
        start: int = 0,
        strides: Sequence[int] | None = None,
        bfloat16: bool = False,
    ) -> None:
        """Draws a region of the stream into memory.

        ``out[i, j, …]`` becomes element ``start + i · strides[0] + j · strides[1] + …``. Columns 2 to 3 of a weight of
        4 × 6, held transposed by some framework, are::

            stream.fill(out.T, Normal(), start=2, strides=(6, 1))

        Args:
            out: float16, float32 or float64 memory of any shape and strides, which is overwritten.
            distribution: Normal, Uniform or Sign.
            start: the index of the first element.
            strides: the step of the index along each axis; those of a C-ordered array of this shape where None.
            bfloat16: ``out`` holds bfloat16 numbers as uint16 words.

        Raises:
            InputError: integer, read-only or overlapping memory; indices below 0 or from 2**63 on; as many strides as
                axes are needed.

        >>> whole, part = np.empty((4, 6)), np.empty((4, 2))
        >>> Stream(0, "weight").fill(whole, Normal(0.1))
        >>> Stream(0, "weight").fill(part, Normal(0.1), start=2, strides=(6, 1))
        >>> bool((part == whole[:, 2:4]).all())
        True
        """
        _require_index("The start", start, _INDICES)
        steps = None if strides is None else tuple(strides)
        filling.fill(out, self.key, distribution.constants, int(start), steps, bfloat16)

    def words(self, count: int, *, start: int = 0) -> Words:
        """Random 32-bit words, of which every draw is made.

        Args:
            count: how many.
            start: the index of the first.

        Raises:
            InputError: a negative or fractional count or start.

        >>> Stream(0, "weight").words(2)
        array([2001960452, 1311918720], dtype=uint32)
        """
        _require_index("The count", count, _INDICES)
        _require_index("The start", start, _INDICES)
        return philox.words(self.key, int(start), int(count))

    def uniform(self, count: int, *, start: int = 0) -> Floats:
        """Uniform on (0, 1): the 2**23 midpoints (k + ½) / 2**23, so neither end is ever reached.

        Args:
            count: how many.
            start: the index of the first.

        Raises:
            InputError: a negative or fractional count or start.

        >>> Stream(0, "weight").uniform(3).round(6)
        array([0.966118, 0.805455, 0.634814], dtype=float32)
        """
        return self._draw(count, start, Uniform())

    def normal(self, count: int, *, start: int = 0) -> Floats:
        """Standard normal, by the quantile function; never beyond ±6.338.

        Args:
            count: how many.
            start: the index of the first.

        Raises:
            InputError: a negative or fractional count or start.

        >>> Stream(0, "weight").normal(3).round(6)
        array([1.82657 , 0.861268, 0.344632], dtype=float32)
        """
        return self._draw(count, start, Normal())

    def truncated_normal(self, count: int, *, bound: float = 2.0, start: int = 0) -> Floats:
        """Standard normal given that it lies within ±bound; its spread is below one (.8796 for a bound of 2).

        Args:
            count: how many.
            bound: where to cut, in standard deviations.
            start: the index of the first.

        Raises:
            InputError: a bound that is not positive and finite; a negative or fractional count or start.

        >>> bool(abs(Stream(0, "weight").truncated_normal(1000)).max() <= 2)
        True
        """
        return self._draw(count, start, Normal(bound=bound))

    def sign(self, count: int, *, start: int = 0) -> Floats:
        """-1 or 1, with equal probability.

        Args:
            count: how many.
            start: the index of the first.

        Raises:
            InputError: a negative or fractional count or start.

        >>> Stream(3, "weight").sign(4)
        array([-1.,  1.,  1.,  1.], dtype=float32)
        """
        return self._draw(count, start, Sign())

    def permutation(self, count: int) -> NDArray[np.int64]:
        """A permutation of 0, …, count - 1, all equally likely.

        The order of 64-bit numbers, each made of two words; two of them are equal less than once in 2**25 draws of a
        million.

        Args:
            count: how many.

        Raises:
            InputError: a negative or fractional count.

        >>> Stream(0, "weight").permutation(5)
        array([1, 2, 3, 0, 4])
        """
        _require_index("The count", count, _INDICES)
        pairs = self.words(2 * count).astype(np.uint64)
        return np.argsort(pairs[0::2] << np.uint64(32) | pairs[1::2], kind="stable")

    def _draw(self, count: int, start: int, distribution: Distribution) -> Floats:
        _require_index("The count", count, _INDICES)
        values = np.empty(count, dtype=np.float32)
        self.fill(values, distribution, start=start)
        return values


def _require_index(what: str, value: object, limit: int) -> None:
    if not isinstance(value, int | np.integer) or not 0 <= value < limit:
        raise InputError(f"{what} is a whole number from 0 to below 2**{limit.bit_length() - 1}; received {value!r}.")
