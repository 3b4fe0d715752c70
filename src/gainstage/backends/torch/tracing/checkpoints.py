"""Checkpointed blocks of the reentrant kind, run so that their gradients can be read.

A reentrant checkpoint refuses ``torch.autograd.grad`` and builds the graph of its block during the backward pass, where
nothing can be tied to it any more. The other kind computes the same numbers and is transparent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import checkpoint

__all__ = ["transparent_checkpoints"]


@contextmanager
def transparent_checkpoints() -> Iterator[None]:
    """Inside, reentrant checkpoints run as the other kind.

    One that no input with a gradient enters stays as it is, since its weights get no gradient: a fault to be seen.
    """
    original = checkpoint.CheckpointFunction

    class Transparent:
        @staticmethod
        def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
            if not torch.is_grad_enabled():
                return function(*args)
            if not any(isinstance(a, torch.Tensor) and a.requires_grad for a in args):
                return original.apply(function, preserve, *args)  # type: ignore[no-untyped-call]
            return checkpoint.checkpoint(function, *args, use_reentrant=False, preserve_rng_state=preserve)

    checkpoint.CheckpointFunction = Transparent  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        checkpoint.CheckpointFunction = original  # type: ignore[misc]
