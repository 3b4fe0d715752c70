"""A batch in the types that a model computes in, where it would refuse the types that were given."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gainstage.backends.torch.models.batch import Batch, prepare
from gainstage.backends.torch.models.preserve import preserved
from gainstage.backends.torch.tracing.memoryless import memoryless

__all__ = ["fitting_batch"]


def fitting_batch(inputs: Any, model: nn.Module, target: Any = None) -> Batch:
    """Prepare a batch, and cast it to the precision of the weights where the model refuses the precision given.

    NumPy makes arrays of double precision, and images come as bytes; a model of single precision refuses both. What
    the model takes (under autocast, or because it casts by itself) stays as it is.

    Raises:
        InputError: the batch cannot be used.

    >>> import numpy as np
    >>> fitting_batch(np.ones((3, 4)), nn.Linear(4, 2)).tensors[0][1].dtype
    torch.float32
    """
    batch = prepare(inputs, model, target)
    own = {t.dtype for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()}
    if len(own) != 1 or torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
        return batch
    (dtype,) = own

    def cast(tensor: torch.Tensor) -> torch.Tensor:
        odd = tensor.is_floating_point() or tensor.dtype == torch.uint8
        return tensor.to(dtype) if odd and tensor.dtype != dtype else tensor

    if all(cast(tensor) is tensor for _, tensor in batch.tensors):
        return batch
    refusal = _refusal(model, batch)
    if refusal is None:
        return batch
    converted = batch.map(cast)
    second = _refusal(model, converted)
    about_types = _is_about_types(refusal) and not (second is not None and _is_about_types(second))
    return converted if second is None or about_types else batch


def _refusal(model: nn.Module, batch: Batch) -> Exception | None:
    """Return the exception that the model raises on a batch of these types; the pass is undone."""
    try:
        if any(p.is_meta for p in model.parameters()) or any(t.is_meta for _, t in batch.tensors):
            with memoryless(model, batch.loose) as fake, torch.no_grad():
                batch.map(fake).call(model)
        else:  # tensors without values are multiplied whatever their types
            with preserved(model, 0, batch.loose), torch.no_grad():
                batch.copied().call(model)
    except Exception as error:
        return error
    return None


def _is_about_types(error: Exception) -> bool:
    return any(word in str(error).lower() for word in ("dtype", "scalar type", "input type", "same type"))
