"""Moments of PyTorch's tensors, reduced on the tensor's device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gainstage.backends.shared.moments import Reductions

__all__ = ["histogram_of", "look_at", "magnitudes_of", "moments_of", "token_correlation", "unit_stats"]


class _Tensors(Reductions):
    def prepared(self, values: Tensor) -> Tensor:
        values = values.detach()
        if values.is_sparse:
            values = values.coalesce().values()
        if values.is_complex():
            values = torch.view_as_real(values.resolve_conj())
        return values if values.dtype in (torch.float32, torch.float64) else values.float()

    def size(self, array: Tensor) -> int:
        return array.numel()

    def wide(self, array: Tensor) -> Tensor:
        return array.double()

    def squares(self, flat: Tensor, *, wide: bool = False) -> float:
        flat = flat.double() if wide and flat.device.type != "mps" else flat  # Apple's GPUs have no float64
        return float(torch.dot(flat, flat))

    def finite(self, flat: Tensor) -> int:
        return int(torch.isfinite(flat).sum())

    def extremes(self, flat: Tensor) -> tuple[float, float]:
        low, high = torch.aminmax(flat)
        return float(low), float(high)

    def nonzero(self, array: Tensor) -> int:
        return int(torch.count_nonzero(array))

    def as_numpy(self, flat: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
        return flat.cpu().double().numpy()


_TENSORS = _Tensors()
histogram_of, look_at, moments_of = _TENSORS.histogram_of, _TENSORS.look_at, _TENSORS.moments_of
magnitudes_of = _TENSORS.magnitudes_of
token_correlation, unit_stats = _TENSORS.token_correlation, _TENSORS.unit_stats
