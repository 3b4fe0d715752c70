"""Weights whose sum over inputs (or outputs) is zero, so that the mean of the signal does not pass.

A signal of mean m (after a gelu or a relu, or rows of an embedding table picked at random) adds m · Σ w to a unit, the
same amount for every example. Where no bias can remove this amount, weights that sum to zero do.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import InputError
from gainstage.graph import KernelShape
from gainstage.schemes import sampling
from gainstage.schemes.structured import orthogonal
from gainstage.schemes.table import register
from gainstage.streams import Stream

__all__ = ["centred_normal", "centred_orthogonal", "centred_outputs"]

_INPUTS, _OUTPUTS = 1, 0
_BROCK = "Brock, De and Smith (arXiv:2101.08692), eq. 4: scaled weight standardisation, at the start alone"


def _level_keeping(kernel: KernelShape) -> float:
    return 1 / math.sqrt(kernel.fan_in)


@register("centred_normal", spread=_level_keeping, reference=_BROCK)
def centred_normal(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
    """Normal weights of standard deviation gain/√fan_in; each unit's weights sum to zero over the inputs of each tap.

    With a sum of zero at each tap, the sum is also zero at the borders of an image and for the taps of a transposed
    convolution. The factor √(n / (n - 1)), for n inputs in a group, restores the standard deviation.

    Args:
        kernel: at least two inputs in a group.
        gain: multiplies every value.
        stream: the source of normal numbers.

    Returns:
        An array of shape ``kernel.shape``.

    Raises:
        InputError: a group has one input, whose centred weights would be zero.

    >>> weight = centred_normal(KernelShape(3, 50), 1.0, Stream(0, "weight"))
    >>> bool(abs(weight.sum(1)).max() < 1e-6)
    True
    """
    kept = _kept(kernel, kernel.in_ // kernel.groups, "inputs")
    return _centred(sampling.normal(kernel, gain * _level_keeping(kernel) / kept, stream), _INPUTS)


@register("centred_orthogonal", spread=_level_keeping, reference=_BROCK)
def centred_orthogonal(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
    """Orthogonal weights, of which each unit's mean over the inputs of each tap is then subtracted.

    The map is an isometry on signals that sum to zero over the inputs: for a square matrix, one singular value is zero
    and the others are equal.

    Args:
        kernel, gain, stream: as in ``centred_normal``.

    Raises:
        InputError: a group has one input, whose centred weights would be zero.

    >>> weight = centred_orthogonal(KernelShape(5, 5), 1.0, Stream(0, "weight"))[:, :, 0]
    >>> abs(np.linalg.svd(weight.astype(float))[1]).round(3).tolist()
    [1.118, 1.118, 1.118, 1.118, 0.0]
    """
    kept = _kept(kernel, kernel.in_ // kernel.groups, "inputs")
    return _centred(orthogonal(kernel, gain / kept, stream), _INPUTS)


@register("centred_outputs", spread=_level_keeping, reference="a softmax does not see what all its outputs share")
def centred_outputs(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
    """Normal weights of standard deviation gain/√fan_in, of which the mean over all outputs is subtracted.

    This suits an embedding table that is also the output layer, whose rows are the outputs.

    Args:
        kernel: at least two outputs in a group.
        gain: multiplies every value.
        stream: the source of normal numbers.

    Raises:
        InputError: a group has one output, whose centred weights would be zero.

    >>> weight = centred_outputs(KernelShape(50, 3), 1.0, Stream(0, "weight"))
    >>> bool(abs(weight.sum(0)).max() < 1e-6)
    True
    """
    kept = _kept(kernel, kernel.out // kernel.groups, "outputs")
    values = sampling.normal(kernel, gain * _level_keeping(kernel) / kept, stream)
    return _centred(values.reshape(kernel.groups, -1, *kernel.shape[1:]), 1).reshape(kernel.shape)


def _kept(kernel: KernelShape, count: int, what: str) -> float:
    """Return the share of a standard deviation that remains when the mean of ``count`` values is subtracted."""
    if count < 2:
        raise InputError(f"One of the {what} alone cannot sum to zero; received {kernel}. Use 'normal'.")
    return math.sqrt(1 - 1 / count)


def _centred(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    values -= values.mean(axis, dtype=np.float64, keepdims=True)
    return values
