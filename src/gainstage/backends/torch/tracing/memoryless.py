"""A model whose weights have shapes and no memory, for as long as it is traced."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils.stateless import _reparametrize_module

from gainstage.backends.torch.models.preserve import preserved

__all__ = ["memoryless"]

Fake = Callable[[torch.Tensor], torch.Tensor]


@contextmanager
def memoryless(model: nn.Module, *others: Any) -> Iterator[Fake]:
    """Run the model inside on tensors without values; yields what makes such a tensor of a real one.

    Args:
        model: left as it was found.
        others: further objects that its code can reach.
    """
    with preserved(model, None, *others, weights=False), _no_log(), FakeTensorMode(allow_non_fake_inputs=True) as mode:
        made: dict[int, torch.Tensor] = {}

        def fake(tensor: torch.Tensor) -> torch.Tensor:
            if id(tensor) not in made:
                # What has no device is given one: models ask tensors of the CPU for more than they ask meta ones.
                made[id(tensor)] = (
                    _on_cpu(mode, tensor) if tensor.is_meta else mode.from_tensor(tensor, static_shapes=True)
                )
            return made[id(tensor)]

        tensors = {n: fake(t) for n, t in (*model.named_parameters(), *model.named_buffers())}
        with _reparametrize_module(model, tensors, tie_weights=True):
            yield fake


@contextmanager
def _no_log() -> Iterator[None]:
    """Keep tracebacks off the terminal that PyTorch logs before it raises the same exceptions."""
    logs = [logging.getLogger("torch._subclasses.fake_tensor"), logging.getLogger("torch._subclasses")]
    before = [log.disabled for log in logs]
    for log in logs:
        log.disabled = True
    try:
        yield
    finally:
        for log, disabled in zip(logs, before, strict=True):
            log.disabled = disabled


def _on_cpu(mode: FakeTensorMode, tensor: torch.Tensor) -> torch.Tensor:
    with mode:
        made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
        made = made.requires_grad_(tensor.requires_grad)
    return nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made
