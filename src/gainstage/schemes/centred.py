"""Weights from which a sum is taken off: what all examples have in common then does not get through.

A signal of mean m (behind a gelu or a relu, or rows of a table picked at random) reaches a unit as m · Σ w, the same
for every example. Where no bias can take that off, weights that sum to zero keep it out.
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
    """Normal, spread gain/√fan_in, every unit's weights summing to zero over the inputs, tap by tap.

    Tap by tap, so that the sum is zero at the borders of an image too, and wherever a transposed convolution lets other
    taps meet. What is taken off is made up for by √(n / (n - 1)), n inputs in a group.

    Args:
        kernel: at least two inputs in a group.
        gain: multiplies every value.
        stream: of normals.

    Returns:
        Shape ``kernel.shape``.

    Raises:
        InputError: a group of one input, of which nothing would be left.

    >>> weight = centred_normal(KernelShape(3, 50), 1.0, Stream(0, "weight"))
    >>> bool(abs(weight.sum(1)).max() < 1e-6)
    True
    """
    kept = _kept(kernel, kernel.in_ // kernel.groups, "inputs")
    return _centred(sampling.normal(kernel, gain * _level_keeping(kernel) / kept, stream), _INPUTS)


@register("centred_orthogonal", spread=_level_keeping, reference=_BROCK)
def centred_orthogonal(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
    """Orthogonal, every unit's weights then summing to zero over the inputs, tap by tap.

    An isometry of what is not the same for all inputs: of a square matrix one singular value is zero and the others are
    equal.

    Args:
        kernel, gain, stream: as in ``centred_normal``.

    Raises:
        InputError: a group of one input, of which nothing would be left.

    >>> weight = centred_orthogonal(KernelShape(5, 5), 1.0, Stream(0, "weight"))[:, :, 0]
    >>> abs(np.linalg.svd(weight.astype(float))[1]).round(3).tolist()
    [1.118, 1.118, 1.118, 1.118, 0.0]
    """
    kept = _kept(kernel, kernel.in_ // kernel.groups, "inputs")
    return _centred(orthogonal(kernel, gain / kept, stream), _INPUTS)


@register("centred_outputs", spread=_level_keeping, reference="a softmax does not see what all its outputs share")
def centred_outputs(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
    """Normal, spread gain/√fan_in, what all outputs have in common taken off.

    For a table of words that is the output layer as well: its rows are the outputs.

    Args:
        kernel: at least two outputs in a group.
        gain: multiplies every value.
        stream: of normals.

    Raises:
        InputError: a group of one output, of which nothing would be left.

    >>> weight = centred_outputs(KernelShape(50, 3), 1.0, Stream(0, "weight"))
    >>> bool(abs(weight.sum(0)).max() < 1e-6)
    True
    """
    kept = _kept(kernel, kernel.out // kernel.groups, "outputs")
    values = sampling.normal(kernel, gain * _level_keeping(kernel) / kept, stream)
    return _centred(values.reshape(kernel.groups, -1, *kernel.shape[1:]), 1).reshape(kernel.shape)


def _kept(kernel: KernelShape, count: int, what: str) -> float:
    """The share of a spread that is left when the mean of so many values is taken off."""
    if count < 2:
        raise InputError(f"One of the {what} alone cannot sum to zero; received {kernel}. Use 'normal'.")
    return math.sqrt(1 - 1 / count)


def _centred(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    values -= values.mean(axis, dtype=np.float64, keepdims=True)
    return values
