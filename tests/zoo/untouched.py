"""Everything about a model and its surroundings that a look at it must leave alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as global_hooks

__all__ = ["untouched"]


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Assert that weights, gradients, buffers, modes, attributes, hooks and random states are the same afterwards."""
    before, kept = _state(model), _tensors(model)
    yield
    assert _state(model) == before
    for name, (tensor, copy) in kept.items():
        assert torch.equal(tensor, copy), name


def _state(model: nn.Module) -> dict[str, Any]:
    """Comparable facts; objects by identity, containers by their members."""
    facts: dict[str, Any] = {
        "torch": torch.get_rng_state().tolist(),
        "numpy": repr(np.random.get_state(legacy=False)),
        "python": random.getstate(),
        "grad mode": torch.is_grad_enabled(),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
        "global hooks": (len(global_hooks._global_forward_hooks), len(global_hooks._global_forward_pre_hooks)),
    }
    for path, module in model.named_modules():
        facts[f"{path}.type"] = type(module)
        for name, value in vars(module).items():
            facts[f"{path}.{name}"] = _fact(value)
    for path, parameter in model.named_parameters():
        if type(parameter) is nn.Parameter:
            facts[f"{path}.grad"] = id(parameter.grad)
            facts[f"{path}.requires_grad"] = parameter.requires_grad
            facts[f"{path}.hooks"] = list(parameter._backward_hooks or ())
    return facts


def _fact(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: id(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [id(item) for item in value]
    return value if isinstance(value, (bool, int, float, str)) else id(value)


def _tensors(model: nn.Module) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Every tensor that has values, beside a copy."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    tensors |= {f"{n}.grad": p.grad for n, p in model.named_parameters() if _has_values(p) and p.grad is not None}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor):
                tensors[f"{path}.{name}"] = value
    return {name: (t, t.detach().clone()) for name, t in tensors.items() if _has_values(t)}


def _has_values(tensor: torch.Tensor) -> bool:
    return not tensor.is_meta and not isinstance(tensor, nn.parameter.UninitializedTensorMixin)
