"""Independent weights of a given standard deviation, on which every random scheme is built.

Element i of the flattened kernel is element i of the stream, times the standard deviation.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gainstage.graph import KernelShape
from gainstage.streams import Distribution, Normal, Stream, Uniform

__all__ = ["TRUNCATED_SPREAD", "Kind", "distribution", "normal", "truncated_normal", "uniform"]

Kind = Literal["normal", "uniform", "truncated_normal"]

TRUNCATED_SPREAD = 0.8796256610342398
"""The standard deviation of a standard normal cut at ±2: sqrt(1 - 4 phi(2) / (Phi(2) - Phi(-2)))."""


def distribution(kind: Kind, spread: float) -> Distribution:
    """Return the distribution of one weight.

    Args:
        kind: normal; uniform, U(±√3 · spread); or truncated_normal, a normal cut at two of its standard deviations and
            widened so that ``spread`` is what remains after the cut.
        spread: the standard deviation over weights, at least zero.

    Raises:
        InputError: the standard deviation is negative or exceeds the range of float32.

    >>> distribution("uniform", 1.0).high
    1.7320508075688772
    """
    if kind == "normal":
        return Normal(spread)
    if kind == "truncated_normal":
        return Normal(spread / TRUNCATED_SPREAD, bound=2.0)
    limit = math.sqrt(3) * spread
    return Uniform(-limit, limit)


def normal(kernel: KernelShape, spread: float, stream: Stream) -> NDArray[np.float32]:
    """Draw every weight from N(0, spread²).

    >>> normal(KernelShape(2, 3), 0.1, Stream(0, "weight")).shape
    (2, 3, 1)
    """
    return _drawn("normal", kernel, spread, stream)


def uniform(kernel: KernelShape, spread: float, stream: Stream) -> NDArray[np.float32]:
    """Draw every weight from U(±√3 · spread), whose standard deviation is ``spread``.

    >>> bool(abs(uniform(KernelShape(20, 30), 1.0, Stream(0, "weight"))).max() <= 3**0.5)
    True
    """
    return _drawn("uniform", kernel, spread, stream)


def truncated_normal(kernel: KernelShape, spread: float, stream: Stream) -> NDArray[np.float32]:
    """Draw every weight from a normal cut at two standard deviations, widened so that the result has ``spread``.

    >>> bool(abs(truncated_normal(KernelShape(20, 30), 1.0, Stream(0, "weight"))).max() <= 2 / TRUNCATED_SPREAD)
    True
    """
    return _drawn("truncated_normal", kernel, spread, stream)


def _drawn(kind: Kind, kernel: KernelShape, spread: float, stream: Stream) -> NDArray[np.float32]:
    values = np.empty(kernel.shape, dtype=np.float32)
    stream.fill(values, distribution(kind, abs(spread)))
    return np.negative(values, out=values) if spread < 0 else values
