"""Independent weights of a given spread: what every random scheme is made of.

Element i of the flattened kernel is element i of the stream, times the spread.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gainstage.graph import KernelShape
from gainstage.streams import Distribution, Normal, Stream, Uniform

__all__ = ["TRUNCATED_SPREAD", "normal", "truncated_normal", "uniform"]

TRUNCATED_SPREAD = 0.8796256610342398
"""The standard deviation of a standard normal cut at ±2: sqrt(1 - 4 phi(2) / (Phi(2) - Phi(-2)))."""


def normal(kernel: KernelShape, spread: float, stream: Stream) -> NDArray[np.float32]:
    """N(0, spread²) for every weight.

    >>> normal(KernelShape(2, 3), 0.1, Stream(0, "weight")).shape
    (2, 3, 1)
    """
    return _drawn(kernel, Normal(abs(spread)), spread, stream)


def uniform(kernel: KernelShape, spread: float, stream: Stream) -> NDArray[np.float32]:
    """U(±√3 · spread) for every weight: uniform with that standard deviation.

    >>> bool(abs(uniform(KernelShape(20, 30), 1.0, Stream(0, "weight"))).max() <= 3**0.5)
    True
    """
    limit = math.sqrt(3) * abs(spread)
    return _drawn(kernel, Uniform(-limit, limit), spread, stream)


def truncated_normal(kernel: KernelShape, spread: float, stream: Stream) -> NDArray[np.float32]:
    """A normal cut at two of its standard deviations, widened so that ``spread`` is what remains after the cut.

    >>> bool(abs(truncated_normal(KernelShape(20, 30), 1.0, Stream(0, "weight"))).max() <= 2 / TRUNCATED_SPREAD)
    True
    """
    return _drawn(kernel, Normal(abs(spread) / TRUNCATED_SPREAD, bound=2.0), spread, stream)


def _drawn(kernel: KernelShape, distribution: Distribution, sign: float, stream: Stream) -> NDArray[np.float32]:
    values = np.empty(kernel.shape, dtype=np.float32)
    stream.fill(values, distribution)
    return -values if sign < 0 else values
