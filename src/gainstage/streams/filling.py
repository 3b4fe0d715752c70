"""Writes any region of a stream into any memory: contiguous, strided, transposed, in four number formats.

A region is the set of element indices ``start + Σ i_d · strides_d``. It is cut into pieces that stay in the processor's
cache; each piece is drawn in float32 and rounded once to the format of the memory, by as many threads as there are
cores. So a weight in another format, or in another order, costs a few megabytes beside itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import InputError
from gainstage.streams.distributions import Constants, values
from gainstage.streams.engine import CHOICE, Engine, threads
from gainstage.streams.philox import Key, words_at

__all__ = ["fill"]

Array = NDArray[Any]
Strides = tuple[int, ...]

_PIECE = 1 << 16  # elements: 256 KB in float32
_RUN = 256  # a piece whose neighbours in memory are neighbours in the stream for shorter runs is drawn by its indices
_LAST = 1 << 63


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
    _check_memory(out, bfloat16)
    steps = _c_order(out.shape) if strides is None else tuple(map(int, strides))
    _check_region(out.shape, start, steps)
    if out.size == 0:
        return
    order = sorted(range(out.ndim), key=lambda axis: (-steps[axis], -out.strides[axis]))
    engine = CHOICE.engine(out.size)
    pieces = _pieces(out.transpose(order), start, tuple(steps[axis] for axis in order))

    def write(piece: tuple[Array, int, Strides]) -> None:
        _write(*piece, engine, key, constants, bfloat16)

    if engine.is_compiled and out.size > 2 * _PIECE and (count := threads()) > 1:
        from concurrent.futures import ThreadPoolExecutor  # 10 ms that a small model does not pay

        with ThreadPoolExecutor(count) as pool:
            for _ in pool.map(write, pieces):
                pass
    else:
        for piece in pieces:
            write(piece)


def _pieces(out: Array, start: int, steps: Strides) -> Iterator[tuple[Array, int, Strides]]:
    """Cuts a region along its first axes until each piece is small."""
    if out.size <= _PIECE or out.ndim == 0:
        yield out, start, steps
        return
    row = out.size // out.shape[0]
    if row > _PIECE:
        for i in range(out.shape[0]):
            yield from _pieces(out[i], start + i * steps[0], steps[1:])
        return
    rows = _PIECE // row
    for i in range(0, out.shape[0], rows):
        yield from _pieces(out[i : i + rows], start + i * steps[0], steps)


def _write(
    out: Array, start: int, steps: Strides, engine: Engine, key: Key, constants: Constants, bfloat16: bool
) -> None:
    run_axes = _run_axes(out.shape, steps)
    run = math.prod(out.shape[run_axes:])
    if run_axes == 0 and out.dtype == np.float32 and out.flags.c_contiguous:
        engine.fill(out.reshape(-1), key, start, constants)
        return
    drawn = np.empty(out.shape, dtype=np.float32)
    if run_axes == 0:
        engine.fill(drawn.reshape(-1), key, start, constants)
    elif run >= _RUN:
        rows = drawn.reshape(-1, run)
        for row, first in zip(rows, _indices(out.shape[:run_axes], start, steps[:run_axes]), strict=True):
            engine.fill(row, key, int(first), constants)
    else:
        drawn = values(words_at(key, _indices(out.shape, start, steps)), constants).reshape(out.shape)
    out[...] = engine.round_to_bfloat16(drawn.reshape(-1)).reshape(out.shape) if bfloat16 else drawn


def _run_axes(shape: tuple[int, ...], steps: Strides) -> int:
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


def _c_order(shape: tuple[int, ...]) -> Strides:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _check_memory(out: Array, bfloat16: bool) -> None:
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


def _check_region(shape: tuple[int, ...], start: int, steps: Strides) -> None:
    if len(steps) != len(shape):
        raise InputError(f"A region of shape {shape} has one stride for each axis; received {steps}.")
    ends = [step * (size - 1) for step, size in zip(steps, shape, strict=True) if size]
    lowest, highest = start + sum(end for end in ends if end < 0), start + sum(end for end in ends if end > 0)
    if lowest < 0 or highest >= _LAST:
        raise InputError(
            f"The indices of a stream run from 0 to below 2**63; this region runs from {lowest} to {highest}."
        )
