"""Leave a model as it was found, also when its own forward raises."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["preserved", "random_state"]


@contextmanager
def random_state(seed: int | None = None) -> Iterator[None]:
    """Put back every random state on leaving; start from ``seed`` if there is one."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        try:
            if seed is not None:
                torch.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def preserved(model: nn.Module, seed: int | None = None) -> Iterator[None]:
    """Keep modes, attributes, hooks, buffers, gradients and random states of ``model`` as they are.

    Parameters are not copied: whoever changes them puts them back. Buffers are, since a forward pass may write to them.
    """
    modules = list(model.modules())
    attributes = [(m, dict(m.__dict__)) for m in modules]
    held: list[tuple[Any, Any]] = [
        (c, c.copy()) for _, saved in attributes for c in saved.values() if isinstance(c, (list, dict, set))
    ]
    contents = [
        (b, b._version, b.detach().clone())
        for m in modules
        for b in m._buffers.values()
        if b is not None and not b.is_meta
    ]
    gradients = [(p, p.grad, None if p.grad is None else (p.grad._version, p.grad.clone())) for p in model.parameters()]
    try:
        with random_state(seed):
            yield
    finally:
        for module, before in attributes:
            for name in [n for n in module.__dict__ if n not in before]:
                del module.__dict__[name]
            module.__dict__.update(before)
        for container, original in held:
            if not _same(container, original):
                container.clear()
                container.extend(original) if isinstance(container, list) else container.update(original)
        with torch.no_grad():
            for buffer, version, content in contents:
                if buffer._version != version:
                    buffer.copy_(content)
            for parameter, grad, content_of in gradients:
                parameter.grad = grad
                if grad is not None and content_of is not None and grad._version != content_of[0]:
                    grad.copy_(content_of[1])


def _same(first: Any, second: Any) -> bool:
    """Whether two containers hold the very same objects (tensors cannot be compared by value here)."""
    if len(first) != len(second):
        return False
    if isinstance(first, dict):
        return all(k1 == k2 and first[k1] is second[k2] for k1, k2 in zip(first, second, strict=True))
    return all(a is b for a, b in zip(first, second, strict=True))
