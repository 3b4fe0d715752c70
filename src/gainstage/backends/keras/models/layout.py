"""Between the one weight layout of gainstage and the ways Keras stores weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import InputError
from gainstage.graph import KernelShape, Layout

__all__ = ["canonical", "native", "require_fit"]

Array = NDArray[Any]


def native(
    values: Array, shape: tuple[int, ...], kernel: KernelShape, blocks: int = 1, layout: Layout = "in_out"
) -> Array:
    """A canonical array as Keras stores it.

    Args:
        values: ``(blocks · out, in / groups, receptive)``.
        shape: of the variable: ``(*taps, in / groups, out)`` for ``in_out``, ``(*taps, out, in)`` for ``out_in``.
            Several blocks lie side by side along the output axis (gates of a recurrent layer), or along a first axis
            of their own where the last one has room for a single block (one matrix a position).
        kernel: of one block.
        blocks: how many.
        layout: which of both comes first.

    Raises:
        InputError: the shape does not hold that many weights.

    >>> values = np.arange(6, dtype=np.float32).reshape(2, 3, 1)      # two outputs, three inputs
    >>> native(values, (3, 2), KernelShape(2, 3)).tolist()
    [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    """
    require_fit(shape, kernel, blocks)
    inputs = kernel.in_ // kernel.groups
    front = blocks if _stacked_in_front(shape, kernel, blocks) else 1
    split = values.reshape(front, -1, inputs, kernel.receptive)
    order = (0, 3, 2, 1) if layout == "in_out" else (0, 3, 1, 2)
    return np.ascontiguousarray(split.transpose(order)).reshape(shape)


def canonical(values: Array, kernel: KernelShape, blocks: int = 1, layout: Layout = "in_out") -> Array:
    """The inverse of ``native``: ``(blocks · out, in / groups, receptive)``.

    Raises:
        InputError: as there.

    >>> canonical(np.zeros((3, 3, 32, 2)), KernelShape(64, 32, 9, groups=32)).shape     # depthwise
    (64, 1, 9)
    """
    require_fit(values.shape, kernel, blocks)
    inputs = kernel.in_ // kernel.groups
    front = blocks if _stacked_in_front(values.shape, kernel, blocks) else 1
    out = kernel.out * (blocks // front)
    if layout == "in_out":
        split = values.reshape(front, kernel.receptive, inputs, out).transpose(0, 3, 2, 1)
    else:
        split = values.reshape(front, kernel.receptive, out, inputs).transpose(0, 2, 3, 1)
    return split.reshape(blocks * kernel.out, inputs, kernel.receptive)


def _stacked_in_front(shape: tuple[int, ...], kernel: KernelShape, blocks: int) -> bool:
    return blocks > 1 and len(shape) > 2 and shape[0] == blocks and shape[-1] != blocks * kernel.out


def require_fit(shape: tuple[int, ...], kernel: KernelShape, blocks: int = 1) -> None:
    """Refuse a geometry that a variable of this shape cannot have.

    Raises:
        InputError: the shape does not hold that many weights.
    """
    if math.prod(shape) != kernel.size * blocks:
        raise InputError(f"Shape {shape} cannot hold the {kernel.size * blocks} weights of {blocks} × {kernel}.")
