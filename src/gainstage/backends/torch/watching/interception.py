"""See every backward pass and every step of a loss scaler of the process, while anything is watched.

``Tensor.backward`` calls ``torch.autograd.backward``, which returns behind the all-reduce of data-parallel training and
before anything clips: gradients are read there. A step that overflowed never reaches the optimizer, so such steps are
seen at ``GradScaler.step``. Both functions are replaced with the first watch and put back with the last one.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

import torch
from torch.amp.grad_scaler import GradScaler

__all__ = ["Seeing", "present", "start", "stop"]


class Seeing(Protocol):
    """One watch."""

    def before_backward(self) -> Any:
        """Return what the watch wants to have back behind the pass."""
        ...

    def after_backward(self, roots: Any, before: Any) -> None:
        """A backward pass from ``roots`` has ended."""
        ...

    def before_scaled(self, scaler: GradScaler, optimizer: Any) -> None:
        """A loss scaler is about to step an optimizer."""
        ...

    def after_scaled(self, scaler: GradScaler, optimizer: Any) -> None:
        """A loss scaler has stepped an optimizer, or has skipped the step."""
        ...


_watches: list[Seeing] = []
_replaced: list[tuple[Any, str, Any, Any]] = []  # owner, name, original, replacement


def present() -> tuple[Seeing, ...]:
    """Return the watches of this process."""
    return tuple(_watches)


def start(watch: Seeing) -> None:
    """Let a watch see every backward pass from now on."""
    if not _watches:
        _replace(torch.autograd, "backward", _seeing_backward)
        _replace(GradScaler, "step", _seeing_step)
    _watches.append(watch)


def stop(watch: Seeing) -> None:
    """Let a watch see nothing more; behind the last one, PyTorch's own functions are back in place."""
    if watch in _watches:
        _watches.remove(watch)
    if _watches:
        return
    for owner, name, original, replacement in _replaced:
        if getattr(owner, name) is replacement:  # one that was wrapped since stays and does nothing
            setattr(owner, name, original)
    _replaced.clear()


def _replace(owner: Any, name: str, make: Any) -> None:
    original = getattr(owner, name)
    replacement = functools.wraps(original)(make(original))
    _replaced.append((owner, name, original, replacement))
    setattr(owner, name, replacement)


def _seeing_backward(original: Any) -> Any:
    def backward(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() or not _watches:
            return original(*args, **kwargs)
        present = [(watch, watch.before_backward()) for watch in tuple(_watches)]
        returned = original(*args, **kwargs)
        roots = args[0] if args else kwargs.get("tensors")
        for watch, before in present:
            watch.after_backward(roots, before)
        return returned

    return backward


def _seeing_step(original: Any) -> Any:
    def step(self: GradScaler, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        present = tuple(_watches)
        for watch in present:
            watch.before_scaled(self, optimizer)
        returned = original(self, optimizer, *args, **kwargs)
        for watch in present:
            watch.after_scaled(self, optimizer)
        return returned

    return step
