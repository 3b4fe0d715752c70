"""A fixed sample of the elements of all parameters, the same for weights, gradients and updates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["Sample"]

LEAST = 128
"""Elements of a small parameter: the norm of normal values is then known to 1/√256, six per cent."""

SHARE = 400
"""One element in so many of a large parameter: what a watch holds of it between steps is below one per cent."""

_FEW = 4


class Sample:
    """Evenly spaced elements of every parameter.

    Args:
        parameters: all on one device or on several; what is sampled ends on the first one's.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._device = parameters[0].device
        self._strides = [max(1, p.numel() // max(LEAST, p.numel() // SHARE)) for p in parameters]
        self._orders = [_order(p) for p in parameters]
        sizes = [-(-p.numel() // stride) for p, stride in zip(parameters, self._strides, strict=True)]
        self.sizes = sizes
        owners = torch.repeat_interleave(torch.arange(len(sizes), dtype=torch.int32), torch.tensor(sizes))
        self._owners = owners.to(self._device)
        self._counts = len(sizes)
        self.factors = torch.tensor(
            [p.numel() / max(size, 1) for p, size in zip(parameters, sizes, strict=True)], device=self._device
        )

    def few(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """The sampled elements of the first tensors that are there, enough to tell whether values were replaced."""
        present = [(i, t) for i, t in enumerate(tensors) if t is not None][:_FEW]
        parts = [self._part(t, i).float() for i, t in present]
        return torch.cat(parts) if parts else torch.zeros(0, device=self._device)

    def of(self, tensors: Sequence[Tensor | None]) -> Tensor:
        """The sampled elements as one vector in single precision; zeros where there is no tensor."""
        parts = [
            self._part(t, i) if t is not None else torch.zeros(self.sizes[i], device=self._device)
            for i, t in enumerate(tensors)
        ]
        return torch.cat([part if part.dtype is torch.float32 else part.float() for part in parts])

    def _part(self, tensor: Tensor, place: int) -> Tensor:
        tensor = tensor.detach()
        if tensor.is_sparse:
            tensor = tensor.to_dense()
        if hasattr(tensor, "to_local"):
            tensor = tensor.to_local()
        if tensor.is_complex():
            tensor = tensor.abs()
        order = self._orders[place]
        flat = (tensor if order is None else tensor.permute(order)).reshape(-1)[:: self._strides[place]]
        return flat if flat.device == self._device else flat.to(self._device)

    def squares(self, sampled: Tensor) -> Tensor:
        """Estimates of the squared norm of every parameter's part, (parameters,)."""
        return self._products(sampled, sampled)

    def product(self, one: Tensor, other: Tensor) -> Tensor:
        """An estimate of the scalar product of two vectors over all elements, from their samples."""
        return self._products(one, other).sum()

    def _products(self, one: Tensor, other: Tensor) -> Tensor:
        found = torch.zeros(self._counts, device=self._device)
        return found.index_add_(0, self._owners, one * other) * self.factors


def _order(tensor: Tensor) -> tuple[int, ...] | None:
    """Axes by falling stride, in which a dense tensor can be read without a copy; None where it is contiguous."""
    if tensor.is_contiguous() or tensor.is_sparse or tensor.dim() < 2:
        return None
    strides = tensor.stride()
    return tuple(sorted(range(tensor.dim()), key=lambda axis: -strides[axis]))
