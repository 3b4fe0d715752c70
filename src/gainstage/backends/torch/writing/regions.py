"""Draws any rectangle of a parameter into memory, without the rest of the parameter.

A parameter as PyTorch stores it consists of rectangles in which the place of a weight in its random stream is an affine
function of its indices: one for each stacked block, and one for each group of a transposed convolution.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.backends.shared import values as shared
from gainstage.backends.shared.values import kernel_of, scheme_of
from gainstage.backends.torch.writing.layout import native, require_fit
from gainstage.graph import KernelShape, Layout
from gainstage.records import Assignment
from gainstage.streams import Stream, copy

__all__ = ["Rectangle", "draw", "draw_region", "meeting", "rectangles"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Part of a parameter whose weights are elements of one stream.

    Args:
        block: which of the stacked matrices it belongs to.
        low, high: the first index along each axis, and the first index behind.
        start: the index of its first weight in the flattened canonical kernel of that block.
        strides: by how much that index rises along each axis.
    """

    block: int
    low: tuple[int, ...]
    high: tuple[int, ...]
    start: int
    strides: tuple[int, ...]


def rectangles(
    shape: tuple[int, ...], kernel: KernelShape, blocks: int = 1, layout: Layout = "out_in"
) -> tuple[Rectangle, ...] | None:
    """The rectangles of which a parameter consists.

    Args:
        shape: of the parameter.
        kernel, blocks, layout: as in ``layout.native``.

    Returns:
        None where the axes of the parameter do not follow those of the kernel, so that it can be drawn as a whole only.

    >>> for part in rectangles((3, 4), KernelShape(2, 3), blocks=2, layout="in_out"):
    ...     print(part.block, part.low, part.high, part.start, part.strides)
    0 (0, 0) (3, 2) 0 (1, 3)
    1 (0, 2) (3, 4) 0 (1, 3)
    """
    require_fit(shape, kernel, blocks, layout)
    inputs, outputs, taps = kernel.in_ // kernel.groups, kernel.out // kernel.groups, kernel.receptive
    if layout == "out_in":
        if not shape or kernel.size % (row := math.prod(shape[1:])):
            return None if shape else (Rectangle(0, (), (), 0, ()),)
        return _split(shape, 0, [(b, 0) for b in range(blocks)], kernel.size // row, _c_order(shape))
    first = _leading(shape, kernel.in_)
    second = None if first is None else _leading(shape[first:], outputs * blocks)
    if first is None or second is None or (kernel.groups > 1 and first != 1) or (blocks > 1 and second != 1):
        return None
    steps = [step * taps for step in _c_order(shape[:first])]
    steps += [step * inputs * taps for step in _c_order(shape[first : first + second])]
    steps += _c_order(shape[first + second :])
    if kernel.groups > 1:
        return _split(shape, 0, [(0, g * outputs * inputs * taps) for g in range(kernel.groups)], inputs, tuple(steps))
    return _split(shape, first, [(b, 0) for b in range(blocks)], kernel.out, tuple(steps))


def draw(assignment: Assignment, seed: int) -> NDArray[np.float32]:
    """The values a scheme gives to one parameter, in the canonical layout, before any measured scale.

    Args:
        assignment: of a weight; its scheme is a name in the table of schemes.
        seed: of the plan.

    Returns:
        Shape ``(blocks · out, in_ / groups, receptive)``. Every block has a stream of its own, keyed by seed, path and
        block.

    Raises:
        InputError: the assignment has no kernel, or its gain is not finite.
        UnknownNameError: there is no such scheme.

    >>> from gainstage.graph import KernelShape, Role
    >>> packed = Assignment("qkv", Role.PACKED_ATTENTION, (12, 4), "glorot_uniform", kernel=KernelShape(4, 4), blocks=3)
    >>> draw(packed, seed=0).shape
    (12, 4, 1)
    """
    return shared.draw(assignment, seed, assignment.parameter)


def draw_region(
    memory: Array,
    assignment: Assignment,
    seed: int,
    *,
    offsets: tuple[int, ...] | None = None,
    bfloat16: bool = False,
    drawn: NDArray[np.float32] | None = None,
) -> None:
    """Draws a rectangle of a parameter, or all of it, into memory.

    Independent weights are drawn where they belong and nowhere else. Of a scheme that needs the whole matrix, the
    blocks that the rectangle meets are drawn as a whole, one after the other, and a part of each is copied.

    Args:
        memory: of the rectangle; written in place.
        assignment: of a weight.
        seed: of the plan.
        offsets: the index of the rectangle's first weight along each axis of the parameter; zeros where None.
        bfloat16: ``memory`` holds bfloat16 numbers as uint16 words.
        drawn: the canonical values where the scheme drew all of them already.

    Raises:
        InputError: the assignment has no kernel, the scheme cannot serve it, or the memory cannot be written.
        UnknownNameError: there is no such scheme.

    >>> from gainstage.graph import Role
    >>> linear = Assignment("weight", Role.HIDDEN, (4, 3), "he_normal", kernel=KernelShape(4, 3))
    >>> draw_region(rows := np.empty((2, 3)), linear, seed=0, offsets=(2, 0))
    >>> bool((rows == draw(linear, seed=0)[2:, :, 0]).all())
    True
    """
    kernel, shape = kernel_of(assignment), assignment.shape
    offsets = offsets or (0,) * len(shape)
    scheme = scheme_of(assignment)
    parts = rectangles(shape, kernel, assignment.blocks, assignment.layout)
    if parts is None:
        values = native(
            draw(assignment, seed) if drawn is None else drawn, shape, kernel, assignment.blocks, assignment.layout
        )
        steps = _c_order(shape)
        copy(memory, np.ascontiguousarray(values), start=_dot(offsets, steps), strides=steps, bfloat16=bfloat16)
        return
    held: tuple[int, NDArray[np.float32]] | None = None
    for part, place, start in meeting(parts, offsets, memory.shape):
        region: dict[str, Any] = {"start": start, "strides": part.strides, "bfloat16": bfloat16}
        if drawn is not None:
            copy(memory[place], drawn[part.block * kernel.out : (part.block + 1) * kernel.out], **region)
            continue
        stream = Stream(seed, assignment.parameter, part.block)
        if scheme.independent:
            scheme.fill(memory[place], kernel, assignment.gain, stream, **region)
            continue
        if held is None or held[0] != part.block:
            held = part.block, scheme.draw(kernel, assignment.gain, stream)
        copy(memory[place], held[1], **region)


def meeting(
    parts: tuple[Rectangle, ...], offsets: tuple[int, ...], shape: tuple[int, ...]
) -> Iterator[tuple[Rectangle, tuple[Any, ...], int]]:
    """The rectangles that a region meets: each with its place in the region and the index of its first weight there."""
    for part in parts:
        low = tuple(map(max, part.low, offsets))
        high = tuple(min(end, first + size) for end, first, size in zip(part.high, offsets, shape, strict=True))
        if all(map(int.__lt__, low, high)):
            place = tuple(slice(a - o, b - o) for a, b, o in zip(low, high, offsets, strict=True))
            yield part, (*place, ...), part.start + _dot(tuple(map(int.__sub__, low, part.low)), part.strides)


def _split(
    shape: tuple[int, ...], axis: int, parts: list[tuple[int, int]], width: int, strides: tuple[int, ...]
) -> tuple[Rectangle, ...]:
    """Cuts an axis into parts of one width, each with its block and the index of its first weight."""
    found = []
    for number, (block, start) in enumerate(parts):
        low = tuple(number * width if a == axis else 0 for a in range(len(shape)))
        high = tuple((number + 1) * width if a == axis else size for a, size in enumerate(shape))
        found.append(Rectangle(block, low, high, start, strides))
    return tuple(found)


def _leading(shape: tuple[int, ...], size: int) -> int | None:
    """How many leading axes hold so many elements together; the fewest, and one at least."""
    for count in range(1, len(shape) + 1):
        if math.prod(shape[:count]) == size:
            return count
    return None


def _c_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _dot(indices: tuple[int, ...], strides: tuple[int, ...]) -> int:
    return sum(map(int.__mul__, indices, strides))
