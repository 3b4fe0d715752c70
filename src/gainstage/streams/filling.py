"""Writes any region of a stream into any memory: contiguous, strided, transposed, in four number formats.

A region is the set of element indices ``start + Σ i_d · strides_d``. It is cut into pieces, which as many threads as
there are cores draw. Contiguous float32 and bfloat16 memory is written in place. A piece of another format, or in
another order, is drawn in float32 and then rounded once, and is small enough to stay in the processor's cache. So any
weight costs a few megabytes beside itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from gainstage.errors import InputError
from gainstage.streams.distributions import Constants
from gainstage.streams.engine import CHOICE, Engine, Memory, threads
from gainstage.streams.philox import Key
from gainstage.streams.quantile import Floats

__all__ = ["copy", "fill", "require_memory"]

Array = NDArray[Any]
Strides = tuple[int, ...]

_PIECE = 1 << 18  # elements: 1 MB in float32
_LONG = 1 << 20  # elements of a piece that is written in place: threads meet less often, and nothing has to be cached
_LAST = 1 << 63


class Source(Protocol):
    """Numbers with addresses."""

    def run(self, out: Memory, start: int) -> None:
        """Writes elements start, start + 1, … into a contiguous array of float32 numbers or of bfloat16 words."""

    def rows(self, out: Floats, starts: NDArray[np.int64]) -> None:
        """Writes into each row of a contiguous array the elements from a start of its own on."""


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Elements of a stream."""

    engine: Engine
    key: Key
    constants: Constants

    def run(self, out: Memory, start: int) -> None:
        self.engine.fill(out, self.key, start, self.constants)

    def rows(self, out: Floats, starts: NDArray[np.int64]) -> None:
        self.engine.fill_rows(out, self.key, starts, self.constants)


@dataclass(frozen=True, slots=True)
class _Held:
    """Numbers that are in memory already."""

    engine: Engine
    numbers: Floats

    def run(self, out: Memory, start: int) -> None:
        numbers = self.numbers[start : start + out.size]
        out[:] = numbers if out.dtype == np.float32 else self.engine.round_to_bfloat16(numbers)

    def rows(self, out: Floats, starts: NDArray[np.int64]) -> None:
        out[:] = sliding_window_view(self.numbers, out.shape[1])[starts]


def fill(out: Array, key: Key, constants: Constants, start: int, strides: Strides | None, bfloat16: bool) -> None:
    """Draws a region of a stream into ``out``.

    Args:
        out: float16, float32 or float64 memory of any strides; or 16-bit words with ``bfloat16``.
        key: of the stream.
        constants: of the distribution.
        start: the index of the region's first element.
        strides: by how many elements of the stream the index rises along each axis; those of a C-ordered array of this
            shape where None.
        bfloat16: whether ``out`` holds the upper halves of float32 numbers.

    Raises:
        InputError: memory that cannot be written, overlaps itself or holds no such numbers; a region with negative
            indices or beyond 2**63; strides of another number of axes.
    """
    require_memory(out, bfloat16)
    steps = _steps(out.shape, start, strides, _LAST)
    engine = CHOICE.engine(out.size)
    _write_region(out, start, steps, _Drawn(engine, key, constants), engine)


def copy(
    out: Array, numbers: Floats, *, start: int = 0, strides: Sequence[int] | None = None, bfloat16: bool = False
) -> None:
    """Writes a region of numbers that were drawn as a whole into ``out``, as ``Stream.fill`` writes drawn ones.

    Args:
        out, start, strides, bfloat16: as in ``Stream.fill``.
        numbers: float32, C-ordered; indices count its elements.

    Raises:
        InputError: as for ``Stream.fill``, or indices beyond the numbers.

    >>> copy(out := np.empty(2), np.arange(6, dtype=np.float32), start=1, strides=(3,))
    >>> out
    array([1., 4.])
    """
    require_memory(out, bfloat16)
    steps = _steps(out.shape, start, None if strides is None else tuple(strides), numbers.size)
    engine = CHOICE.engine(0)
    _write_region(out, start, steps, _Held(engine, numbers.reshape(-1)), engine)


def _write_region(out: Array, start: int, steps: Strides, source: Source, engine: Engine) -> None:
    if out.size == 0:
        return
    order = sorted(range(out.ndim), key=lambda axis: (-steps[axis], -out.strides[axis]))
    out, steps = out.transpose(order), tuple(steps[axis] for axis in order)
    count = threads() if engine.is_compiled and out.size > 2 * _PIECE else 1
    size = _PIECE
    if _is_in_place(out, steps):
        size = max(_PIECE, min(_LONG, out.size // (4 * count)))
    pieces = _pieces(out, start, steps, size)

    def write(piece: tuple[Array, int, Strides]) -> None:
        _write(*piece, source, engine)

    if count > 1:
        from concurrent.futures import ThreadPoolExecutor  # 10 ms that a small model does not pay

        with ThreadPoolExecutor(count) as pool:
            for _ in pool.map(write, pieces):
                pass
    else:
        for piece in pieces:
            write(piece)


def _is_in_place(out: Array, steps: Strides) -> bool:
    """Whether a region's elements are neighbours both in the stream and in memory that a source writes itself."""
    return out.dtype in (np.float32, np.uint16) and out.flags.c_contiguous and _run_axis(out.shape, steps) == 0


def _pieces(out: Array, start: int, steps: Strides, size: int) -> Iterator[tuple[Array, int, Strides]]:
    """Cuts a region along its first axes into pieces of at most ``size`` elements."""
    if out.size <= size or out.ndim == 0:
        yield out, start, steps
        return
    row = out.size // out.shape[0]
    if row > size:
        for i in range(out.shape[0]):
            yield from _pieces(out[i], start + i * steps[0], steps[1:], size)
        return
    rows = size // row
    for i in range(0, out.shape[0], rows):
        yield from _pieces(out[i : i + rows], start + i * steps[0], steps, size)


def _write(out: Array, start: int, steps: Strides, source: Source, engine: Engine) -> None:
    if _is_in_place(out, steps):
        source.run(out.reshape(-1), start)
        return
    axis = _run_axis(out.shape, steps)
    numbers = np.empty(out.shape, dtype=np.float32)
    starts = _indices(out.shape[:axis], start, steps[:axis])
    source.rows(numbers.reshape(len(starts), -1), starts)
    out[...] = engine.round_to_bfloat16(numbers.reshape(-1)).reshape(out.shape) if out.dtype == np.uint16 else numbers


def _run_axis(shape: tuple[int, ...], steps: Strides) -> int:
    """The first axis from which on the elements are neighbours in the stream."""
    expected, axis = 1, len(shape)
    while axis and (shape[axis - 1] == 1 or steps[axis - 1] == expected):
        axis -= 1
        expected *= shape[axis]
    return axis


def _indices(shape: tuple[int, ...], start: int, steps: Strides) -> NDArray[np.int64]:
    """The indices of a region in the order of its elements, as one axis."""
    indices = np.array([start], dtype=np.int64)
    for size, step in zip(shape, steps, strict=True):
        indices = (indices[:, None] + np.arange(size, dtype=np.int64) * step).reshape(-1)
    return indices


def require_memory(out: Array, bfloat16: bool) -> None:
    """Refuses memory that cannot be drawn into.

    Args:
        out, bfloat16: as in ``Stream.fill``.

    Raises:
        InputError: it holds no such numbers, is read-only or overlaps itself.
    """
    kinds = ("uint16",) if bfloat16 else ("float16", "float32", "float64")
    if not isinstance(out, np.ndarray) or out.dtype.name not in kinds or not out.dtype.isnative:
        kind = out.dtype if isinstance(out, np.ndarray) else type(out).__name__
        wanted = "16-bit words for bfloat16" if bfloat16 else "a float16, float32 or float64 array"
        raise InputError(f"A stream is drawn into {wanted}; received {kind}.")
    if not out.flags.writeable:
        raise InputError(
            f"The memory of shape {out.shape} to draw into is read-only. Pass an array that owns its data."
        )
    reach = out.itemsize if out.size else 0
    for stride, size in sorted((abs(stride), size) for stride, size in zip(out.strides, out.shape, strict=True)):
        if size > 1 and stride < reach:
            raise InputError(
                f"The memory of shape {out.shape} to draw into overlaps itself (strides {out.strides}). Pass a copy."
            )
        reach += stride * (size - 1)


def _steps(shape: tuple[int, ...], start: int, strides: Strides | None, limit: int) -> Strides:
    """The strides of a region, checked."""
    if strides is None:
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    steps = tuple(map(int, strides))
    if len(steps) != len(shape):
        raise InputError(f"A region of shape {shape} has one stride for each axis; received {steps}.")
    ends = [step * (size - 1) for step, size in zip(steps, shape, strict=True) if size]
    lowest, highest = start + sum(end for end in ends if end < 0), start + sum(end for end in ends if end > 0)
    if lowest < 0 or (highest >= limit and 0 not in shape):
        last = "2**63" if limit == _LAST else str(limit)
        raise InputError(f"Indices run from 0 to below {last}; this region runs from {lowest} to {highest}.")
    return steps
