"""Random states of Python, NumPy and PyTorch, put back after use; one thread at a time."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

__all__ = ["random_state", "seed_torch"]

_TURN = threading.RLock()
"""Random states, hooks and switches belong to the whole process, so that passes of several threads take turns."""


@contextmanager
def random_state(seed: int | None = None) -> Iterator[None]:
    """Put back every random state on leaving; start from ``seed`` if there is one.

    Other threads that want the same wait meanwhile.
    """
    with _TURN:
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
