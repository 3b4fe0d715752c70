"""Which code draws: NumPy at first, compiled kernels once enough is drawn to pay for loading them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.streams.distributions import Constants, values
from gainstage.streams.philox import Key, words, words_at
from gainstage.streams.quantile import Floats

__all__ = ["CHOICE", "NUMPY", "Choice", "Engine", "Memory", "compiled", "threads"]

Memory = Floats | NDArray[np.uint16]

# Elements that NumPy works on at once: its working arrays stay in the processor's cache.
_CHUNK = 1 << 14

# Loading the kernels takes about as long as NumPy takes for so many elements (compiling them, once, ten times that).
_WORTH_LOADING = 1 << 24

# A shorter row is drawn by the indices of its elements, since a row of its own costs the calls of some fifty functions.
_LONG_ROW = 256


@dataclass(frozen=True, slots=True)
class Engine:
    """Code that draws.

    Args:
        fill: ``fill(out, key, start, constants)`` writes elements start, start + 1, … of a stream into a contiguous
            array of float32 numbers, or of 16-bit words, which hold bfloat16 numbers.
        fill_rows: ``fill_rows(out, key, starts, constants)`` does so for each row of a contiguous float32 array, from a
            start of its own on.
        round_to_bfloat16: the nearest bfloat16 of finite float32 numbers, ties to even, as 16-bit words.
        is_compiled: whether several threads draw faster than one.
    """

    fill: Callable[[Memory, Key, int, Constants], None]
    fill_rows: Callable[[Floats, Key, NDArray[np.int64], Constants], None]
    round_to_bfloat16: Callable[[Floats], NDArray[np.uint16]]
    is_compiled: bool


class Choice:
    """Chooses the engine by how much a process has drawn, or is known to be about to draw.

    All engines give the same bytes, so the choice is of no consequence to what is drawn. A process that draws little
    never imports Numba; one that draws much loses at most what NumPy takes for 2**24 elements.

    >>> Choice().engine(1000) is NUMPY
    True
    """

    def __init__(self) -> None:
        self._drawn = 0

    def expect(self, elements: int) -> None:
        """Announces draws, so that the first of many small ones is not left to NumPy.

        Args:
            elements: how many are about to be drawn, in all.
        """
        if elements >= _WORTH_LOADING:
            self._drawn = max(self._drawn, _WORTH_LOADING)

    def engine(self, elements: int) -> Engine:
        """The engine for the next elements.

        Args:
            elements: how many are about to be drawn.
        """
        self._drawn += elements
        return (self._drawn >= _WORTH_LOADING and compiled()) or NUMPY


@cache
def compiled() -> Engine | None:
    """The compiled engine; None where Numba is not installed or has nowhere to keep what it compiles."""
    if importlib.util.find_spec("numba") is None:
        return None
    try:
        from gainstage.streams import kernels
    except (ImportError, RuntimeError):  # a Numba that does not fit this NumPy; no directory for its cache
        return None

    def fill(out: Memory, key: Key, start: int, constants: Constants) -> None:
        law, *numbers = constants
        kernel = kernels.fill if out.dtype == np.float32 else kernels.fill_bfloat16
        kernel(out, *map(np.uint64, (*key, start)), np.int64(law), *map(np.float32, numbers))

    def fill_rows(out: Floats, key: Key, starts: NDArray[np.int64], constants: Constants) -> None:
        law, *numbers = constants
        first = starts.astype(np.uint64)
        kernels.fill_rows(out, *map(np.uint64, key), first, np.int64(law), *map(np.float32, numbers))

    def round_to_bfloat16(numbers: Floats) -> Any:
        rounded = np.empty(numbers.shape, dtype=np.uint16)
        kernels.round_to_bfloat16(rounded, numbers.view(np.uint32))
        return rounded

    return Engine(fill, fill_rows, round_to_bfloat16, is_compiled=True)


def threads() -> int:
    """How many threads draw: OMP_NUM_THREADS where it is set, else the cores that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _fill(out: Memory, key: Key, start: int, constants: Constants) -> None:
    for done in range(0, out.size, _CHUNK):
        part = out[done : done + _CHUNK]
        numbers = values(words(key, start + done, part.size), constants)
        part[:] = numbers if out.dtype == np.float32 else _round_to_bfloat16(numbers)


def _fill_rows(out: Floats, key: Key, starts: NDArray[np.int64], constants: Constants) -> None:
    if out.shape[1] < _LONG_ROW:
        indices = starts[:, None] + np.arange(out.shape[1])
        out[:] = values(words_at(key, indices.reshape(-1)), constants).reshape(out.shape)
        return
    for row, start in zip(out, starts.tolist(), strict=True):
        _fill(row, key, start, constants)


def _round_to_bfloat16(numbers: Floats) -> NDArray[np.uint16]:
    bits = numbers.view(np.uint32)
    return ((bits + (((bits >> 16) & np.uint32(1)) + np.uint32(0x7FFF))) >> 16).astype(np.uint16)


NUMPY = Engine(_fill, _fill_rows, _round_to_bfloat16, is_compiled=False)
CHOICE = Choice()
