"""The memory in which this process holds a parameter: all of it, or its shard of a distributed one."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Shard", "gathered", "is_distributed", "local", "numpy_view"]


class Shard(NamedTuple):
    """What this process holds of a parameter.

    Args:
        tensor: shares its memory; detached from autograd.
        offsets: the index of its first element along each axis of the whole parameter.
    """

    tensor: Tensor
    offsets: tuple[int, ...]

    def part_of(self, whole: Tensor) -> Tensor:
        """The elements of a whole tensor that belong here."""
        ends = zip(self.offsets, self.tensor.shape, strict=True)
        return whole[tuple(slice(first, first + size) for first, size in ends)]


def local(parameter: Tensor) -> Shard:
    """What this process holds of a parameter: of a DTensor its shard, of another tensor everything.

    >>> local(torch.zeros(2, 3)).offsets
    (0, 0)
    """
    tensor = parameter.detach()
    if not is_distributed(tensor):
        return Shard(tensor, (0,) * tensor.dim())
    # A private helper, held against full_tensor() by tests/backends/test_sharded.py.
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    held: Any = tensor
    shape, offsets = compute_local_shape_and_global_offset(tensor.shape, held.device_mesh, held.placements)
    shard = held.to_local()
    if tuple(shard.shape) != tuple(shape):  # an empty shard may have lost its other axes
        shard = shard.reshape(shape)
    return Shard(shard, tuple(int(offset) for offset in offsets))


def gathered(parameter: Tensor) -> Tensor:
    """The whole of a parameter; of a DTensor by communication, in which every process must take part.

    >>> gathered(torch.zeros(2)).tolist()
    [0.0, 0.0]
    """
    tensor = parameter.detach()
    if not is_distributed(tensor):
        return tensor
    held: Any = tensor
    whole: Tensor = held.full_tensor()
    return whole


def numpy_view(tensor: Tensor) -> tuple[NDArray[Any], bool] | None:
    """A NumPy view of a tensor's memory, and whether it holds bfloat16 numbers as 16-bit words.

    Returns:
        None where there is no memory that NumPy could write: on another device, or in another number format.

    >>> numpy_view(torch.zeros(2, dtype=torch.bfloat16))
    (array([0, 0], dtype=uint16), True)
    """
    if tensor.device.type != "cpu" or tensor.layout != torch.strided:
        return None
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16), True
    if tensor.dtype in (torch.float16, torch.float32, torch.float64):
        return tensor.numpy(), False
    return None


def is_distributed(tensor: Tensor) -> bool:
    """Report whether a tensor is a DTensor, distributed over the processes of a mesh."""
    # Nothing is a DTensor in a process that never imported them, which takes a second.
    module: Any = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)
