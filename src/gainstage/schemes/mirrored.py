"""Mirrored weights: half of the rows or columns are drawn, and the other half are their negatives.

A hidden layer [[A, -A], [-A, A]] computes A·(f(x) - f(-x)), in which the even part of the activation f cancels. For
relu, gelu and silu f(x) - f(-x) = x, so that a plain network of any depth is linear at the start, until training
separates the pairs.

References:
    Balduzzi et al., "The shattered gradients problem" (arXiv:1702.08591), section 4: "looks-linear", for relu;
    Burkholz and Dubatovka, "Initialization of ReLUs for dynamical isometry" (arXiv:1806.06362).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gainstage.graph import KernelShape, Mirror, Pairing
from gainstage.schemes.table import Scheme
from gainstage.streams import Stream

__all__ = ["mirrored"]


def mirrored(scheme: Scheme, mirror: Mirror) -> Scheme:
    """Return a scheme that draws half of a kernel and sets the other half to its negative.

    A set with an odd number of units has one unit without a pair. Its incoming weights are the sum of the drawn rows of
    the set, divided by the root of their number. Its outgoing weights are zero, so that it does not affect the output
    at the start, and learns from the first step on.

    The weights depend on each other, so a part of the kernel is drawn by drawing the whole kernel.

    Args:
        scheme: the scheme that draws the half.
        mirror: the rows and columns whose values are opposite.

    >>> from gainstage.schemes import get
    >>> scheme = mirrored(get("orthogonal"), Mirror(outputs=Pairing(4), inputs=Pairing(2)))
    >>> weight = scheme.draw(KernelShape(4, 2), 1.0, Stream(0, "weight"))[:, :, 0]
    >>> bool((weight[:2] == -weight[2:]).all() and (weight[:, 0] == -weight[:, 1]).all())
    True
    """

    def sampler(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
        values = scheme.draw(mirror.half(kernel), gain, stream)
        if mirror.inputs is not None:
            values = _opposed(values, 1, mirror.inputs, read=True)
        return values if mirror.outputs is None else _opposed(values, 0, mirror.outputs)

    def unit_spread(kernel: KernelShape) -> float | None:
        spread = scheme.unit_spread(mirror.half(kernel))
        return None if spread is None else spread * math.sqrt(mirror.read)

    return replace(scheme, sampler=sampler, unit_spread=unit_spread, independent=None)


def _opposed(values: NDArray[np.float32], axis: int, pairing: Pairing, *, read: bool = False) -> NDArray[np.float32]:
    """Append to every set along an axis its negative, and the weights of the unit without a pair."""
    shape = values.shape
    drawn = pairing.units // 2
    sets = values.reshape(*shape[:axis], -1, drawn, pairing.places, *shape[axis + 1 :])
    parts = [sets, -sets]
    if pairing.units % 2:
        total = sets.sum(axis + 1, dtype=np.float64, keepdims=True) / math.sqrt(drawn)
        parts.append(np.zeros_like(total, dtype=np.float32) if read else total.astype(np.float32))
    whole = np.concatenate(parts, axis=axis + 1)
    return whole.reshape(*shape[:axis], -1, *shape[axis + 1 :])
