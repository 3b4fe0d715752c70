"""Random states of Python, NumPy and PyTorch, put back after use; one thread at a time."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["give_way", "random_state", "seed_torch", "turn"]

_TURN = threading.RLock()
"""Random states, hooks and switches belong to the whole process, so that passes of several threads take turns."""


_States = tuple[Any, Any, Tensor, list[Tensor]]
_OUTER = threading.local()
"""The states that this thread will put back, one for each ``random_state`` that it is in."""


@contextmanager
def turn() -> Iterator[None]:
    """Wait until no other thread runs a pass, and keep others waiting meanwhile."""
    with _TURN:
        yield


@contextmanager
def random_state(seed: int | None = None) -> Iterator[None]:
    """Put back every random state on leaving; start from ``seed`` if there is one.

    Other threads that want the same wait meanwhile.
    """
    with _TURN:
        outer = _outer()
        outer.append(_captured())
        try:
            if seed is not None:
                seed_torch(seed)
                random.seed(seed)
                np.random.seed(seed % 2**32)
            yield
        finally:
            _put_back(outer.pop())


@contextmanager
def give_way() -> Iterator[None]:
    """Let other threads have their turn inside a single ``random_state``, and go on from the same states afterwards.

    Meanwhile the states are those from before ``random_state``, so that no other thread sees numbers of this one.
    Inside none, or inside several, nothing happens.
    """
    outer = _outer()
    if len(outer) != 1:
        yield
        return
    inner = _captured()
    _put_back(outer[0])
    _TURN.release()
    try:
        yield
    finally:
        _TURN.acquire()
        outer[0] = _captured()
        _put_back(inner)


def _outer() -> list[_States]:
    if not hasattr(_OUTER, "states"):
        _OUTER.states = []
    states: list[_States] = _OUTER.states
    return states


def _captured() -> _States:
    on_devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), on_devices


def _put_back(states: _States) -> None:
    python, numpy, on_cpu, on_devices = states
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(on_cpu)
    if on_devices:
        torch.cuda.set_rng_state_all(on_devices)


def seed_torch(seed: int) -> None:
    """Start PyTorch's random numbers from a seed, on the CPU and on devices that are in use.

    ``torch.manual_seed`` also queues the seed for every kind of device that was never used, with a stack trace each.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
