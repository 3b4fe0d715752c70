"""Leave a model as it was found, also when its own forward raises."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

__all__ = ["preserved", "random_state", "seed_torch"]


@contextmanager
def random_state(seed: int | None = None) -> Iterator[None]:
    """Put back every random state on leaving; start from ``seed`` if there is one."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            if seed is not None:
                seed_torch(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def seed_torch(seed: int) -> None:
    """Start PyTorch's random numbers from a seed, on the CPU and on devices that are in use.

    ``torch.manual_seed`` also queues the seed for every kind of device that was never used, with a stack trace each.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def preserved(model: nn.Module, seed: int | None = None) -> Iterator[None]:
    """Keep modes, attributes, hooks, buffers, gradients and random states of ``model`` as they are.

    Tensors and containers that the modules hold are put back as they were, however deep they are nested. Parameters are
    not copied, but for tables that renormalise themselves: whoever changes others puts them back.
    """
    attributes = [(m, dict(m.__dict__)) for m in model.modules()]
    containers, tensors = _contents([saved for _, saved in attributes])
    tensors += [p for m in model.modules() if getattr(m, "max_norm", None) for p in m.parameters(recurse=False)]
    values = [(t, t.detach().clone()) for t in tensors]
    learned = [(p, p.requires_grad, p.grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    try:
        with random_state(seed):
            yield
    finally:
        for module, before in attributes:
            for name in [n for n in module.__dict__ if n not in before]:
                del module.__dict__[name]
            module.__dict__.update(before)
        for container, original in containers:
            if not _same(container, original):
                container.clear()
                container.update(original) if isinstance(container, (dict, set)) else container.extend(original)
        with torch.no_grad():
            for tensor, value in values:
                _put_back(tensor, value)
            for parameter, trainable, gradient, content in learned:
                parameter.requires_grad_(trainable)
                parameter.grad = gradient
                if gradient is not None and content is not None:
                    _put_back(gradient, content)


def _contents(attributes: list[dict[str, Any]]) -> tuple[list[tuple[Any, Any]], list[torch.Tensor]]:
    """Every container below the modules' attributes with a copy of it, and every tensor that is no parameter."""
    containers: list[tuple[Any, Any]] = []
    tensors: list[torch.Tensor] = []
    seen: set[int] = set()
    pending: list[Any] = [value for saved in attributes for value in saved.values()]
    while pending:
        item = pending.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, (list, dict, set, deque)):
            containers.append((item, item.copy()))
        if isinstance(item, (list, set, deque, tuple)):
            pending += item
        elif isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, torch.Tensor) and not _is_fixed(item):
            tensors.append(item)
    return containers, tensors


def _is_fixed(tensor: torch.Tensor) -> bool:
    """Whether a tensor has no content of its own to put back."""
    unborn = isinstance(tensor, (UninitializedParameter, UninitializedBuffer))
    return unborn or isinstance(tensor, nn.Parameter) or tensor.is_meta or tensor.requires_grad


def _put_back(tensor: torch.Tensor, value: torch.Tensor) -> None:
    """Only where something changed, since writing invalidates graphs that wait for their backward pass."""
    if not tensor.is_meta and (tensor.is_sparse or not torch.equal(tensor, value)):
        tensor.copy_(value)


def _same(first: Any, second: Any) -> bool:
    """Whether two containers hold the very same objects (tensors cannot be compared by value here)."""
    if len(first) != len(second):
        return False
    if isinstance(first, set):
        return bool(first == second)
    if isinstance(first, dict):
        return all(k1 == k2 and first[k1] is second[k2] for k1, k2 in zip(first, second, strict=True))
    return all(a is b for a, b in zip(first, second, strict=True))
