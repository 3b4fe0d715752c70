"""What a user gives beside the model and the batch: the forms that every public function takes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from gainstage.errors import InputError

__all__ = ["Loss", "Optimizer", "require_seed"]

Loss = str | Callable[[Any, Any], Any] | None
"""A name (``cross_entropy``, ``mse``, …), or a function of the framework: in PyTorch of (output, labels), in Keras of
(labels, output)."""

Optimizer = Any
"""A name (``adam``, ``sgd``, …), a function of the framework that makes one (in PyTorch of (parameters, learning rate),
in Keras of the learning rate; a class will do), or the optimizer itself where there is one model."""

_SEEDS = 1 << 64


def require_seed(seed: int) -> int:
    """The seed itself.

    Raises:
        InputError: it is no whole number from 0 to 2**64 - 1.
    """
    try:
        whole = operator.index(seed)  # NumPy's whole numbers too
    except TypeError:
        whole = -1
    if isinstance(seed, bool) or not 0 <= whole < _SEEDS:
        raise InputError(f"The seed must be a whole number from 0 to 2**64 - 1; received {seed!r:.60}.")
    return whole
