"""Independent weights of a given spread: what every random scheme is made of.

Element i of the flattened kernel is element i of the stream, computed in float64 and rounded to float32 once.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gainstage.graph import KernelShape
from gainstage.streams import Stream

__all__ = ["TRUNCATED_SPREAD", "normal", "truncated_normal", "uniform"]

TRUNCATED_SPREAD = 0.8796256610342398
"""The standard deviation of a standard normal cut at ±2: sqrt(1 - 4 phi(2) / (Phi(2) - Phi(-2)))."""

# Values held in float64 at a time, so that a kernel of billions costs little more memory than itself.
_CHUNK = 1 << 20


def normal(kernel: KernelShape, spread: float, stream: Stream) -> NDArray[np.float32]:
    """N(0, spread²) for every weight.

    >>> normal(KernelShape(2, 3), 0.1, Stream(0, "weight")).shape
    (2, 3, 1)
    """
    return _fill(kernel, lambda count, start: stream.normal(count, start=start) * spread)


def uniform(kernel: KernelShape, spread: float, stream: Stream) -> NDArray[np.float32]:
    """U(±√3 · spread) for every weight: uniform with that standard deviation.

    >>> bool(abs(uniform(KernelShape(20, 30), 1.0, Stream(0, "weight"))).max() <= 3**0.5)
    True
    """
    limit = math.sqrt(3) * spread
    return _fill(kernel, lambda count, start: (2 * stream.uniform(count, start=start) - 1) * limit)


def truncated_normal(kernel: KernelShape, spread: float, stream: Stream) -> NDArray[np.float32]:
    """A normal cut at two of its standard deviations, widened so that ``spread`` is what remains after the cut.

    >>> bool(abs(truncated_normal(KernelShape(20, 30), 1.0, Stream(0, "weight"))).max() <= 2 / TRUNCATED_SPREAD)
    True
    """
    before = spread / TRUNCATED_SPREAD
    return _fill(kernel, lambda count, start: stream.truncated_normal(count, start=start) * before)


def _fill(kernel: KernelShape, values: Callable[[int, int], NDArray[np.float64]]) -> NDArray[np.float32]:
    flat = np.empty(kernel.size, dtype=np.float32)
    for start in range(0, kernel.size, _CHUNK):
        count = min(_CHUNK, kernel.size - start)
        flat[start : start + count] = values(count, start)
    return flat.reshape(kernel.shape)
