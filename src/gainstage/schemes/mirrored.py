"""Mirrored weights: half of the rows or columns of a draw, and the other half opposite to it.

A hidden layer [[A, -A], [-A, A]] computes A·(f(x) - f(-x)): twice the odd part of its activation, which is x itself
for relu, gelu and silu, so that a plain network starts as a linear one, at any depth, until training parts the pairs.

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
    """A scheme that draws half a kernel and mirrors it.

    A unit without a pair, of an odd number, gets the sum of the rows of its set, divided by the root of their number,
    and is read by zero: it changes nothing at the start, and learns from the first step on.

    Weights of one stream depend on each other then, so that a part of them is drawn with all the others and copied.

    Args:
        scheme: draws the half.
        mirror: which rows and columns are opposite.

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
    """Every set along an axis followed by its negative, and by what the unit that is left over gets."""
    shape = values.shape
    drawn = pairing.units // 2
    sets = values.reshape(*shape[:axis], -1, drawn, pairing.places, *shape[axis + 1 :])
    parts = [sets, -sets]
    if pairing.units % 2:
        total = sets.sum(axis + 1, dtype=np.float64, keepdims=True) / math.sqrt(drawn)
        parts.append(np.zeros_like(total, dtype=np.float32) if read else total.astype(np.float32))
    whole = np.concatenate(parts, axis=axis + 1)
    return whole.reshape(*shape[:axis], -1, *shape[axis + 1 :])
