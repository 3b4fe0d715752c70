"""Between the one weight layout of gainstage and the ways PyTorch stores weights."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gainstage.errors import InputError
from gainstage.graph import KernelShape, Layout

__all__ = ["canonical", "native", "require_fit"]

_Array = TypeVar("_Array", Tensor, NDArray[np.float32])


def native(
    values: _Array, shape: tuple[int, ...], kernel: KernelShape, blocks: int = 1, layout: Layout = "out_in"
) -> _Array:
    """A canonical array as PyTorch stores it.

    Args:
        values: ``(blocks · out, in_ / groups, receptive)``.
        shape: of the parameter: ``(out, in_ / groups, *taps)`` for ``out_in`` (linear layers, convolutions), and
            ``(in_, out / groups, *taps)`` for ``in_out`` (transposed convolutions, GPT-2's
            ``Conv1D``, embeddings, ``x @ w``).
        kernel: of one block.
        blocks: matrices stacked along the output axis.
        layout: which axis is stored first.

    Raises:
        InputError: the shape does not hold that many weights, or blocks and groups meet in one ``in_out`` weight.

    >>> values = np.arange(6, dtype=np.float32).reshape(2, 3, 1)      # two outputs, three inputs
    >>> native(values, (3, 2), KernelShape(2, 3), layout="in_out").tolist()
    [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    """
    require_fit(shape, kernel, blocks, layout)
    if layout == "out_in":
        return values.reshape(shape)
    groups, inputs = kernel.groups, kernel.in_ // kernel.groups
    split = values.reshape(groups, blocks * kernel.out // groups, inputs, kernel.receptive)
    return _swap(split).reshape(shape)


def canonical(values: _Array, kernel: KernelShape, blocks: int = 1, layout: Layout = "out_in") -> _Array:
    """The inverse of ``native``: ``(blocks · out, in_ / groups, receptive)``.

    Raises:
        InputError: as there.

    >>> import torch
    >>> weight = torch.nn.ConvTranspose1d(4, 6, kernel_size=3, groups=2).weight     # stored as (4, 3, 3)
    >>> canonical(weight, KernelShape(6, 4, 3, groups=2), layout="in_out").shape
    torch.Size([6, 2, 3])
    """
    require_fit(tuple(values.shape), kernel, blocks, layout)
    groups, inputs = kernel.groups, kernel.in_ // kernel.groups
    shape = (blocks * kernel.out, inputs, kernel.receptive)
    if layout == "out_in":
        return values.reshape(shape)
    split = values.reshape(groups, inputs, blocks * kernel.out // groups, kernel.receptive)
    return _swap(split).reshape(shape)


def _swap(values: _Array) -> _Array:
    return values.swapaxes(1, 2)


def require_fit(shape: tuple[int, ...], kernel: KernelShape, blocks: int = 1, layout: Layout = "out_in") -> None:
    """Refuse a geometry that a parameter of this shape cannot have.

    Raises:
        InputError: the shape does not hold that many weights, or blocks and groups meet in one ``in_out`` weight.
    """
    if math.prod(shape) != kernel.size * blocks:
        raise InputError(f"Shape {shape} cannot hold the {kernel.size * blocks} weights of {blocks} × {kernel}.")
    if layout == "in_out" and blocks > 1 and kernel.groups > 1:
        raise InputError(f"{blocks} blocks of a grouped kernel {kernel} have no order along the output axis.")
