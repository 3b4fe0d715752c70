"""Interpolation of images, one axis at a time: the weights over height and width are products of those of both axes."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory.activations import Array

__all__ = ["Interpolation", "resampling_matrix"]

Interpolation = Literal["nearest", "linear", "cubic", "area"]
"""How values between places are made; ``linear`` on both axes is bilinear, ``cubic`` bicubic."""

_CUBIC = {True: -0.5, False: -0.75}  # the free coefficient of the kernel, with and without antialiasing


def resampling_matrix(
    size: int, new_size: int, kind: Interpolation = "linear", *, align_corners: bool = False, antialias: bool = False
) -> Array:
    """Return the weights of an interpolation along one axis, shape (new_size, size); rows sum to one.

    Args:
        size: number of input positions.
        new_size: number of output positions.
        kind: interpolation between positions.
        align_corners: whether the outermost positions, not the outermost edges, are aligned.
        antialias: whether the kernel widens when the size shrinks.

    Raises:
        UnknownNameError: no such kind.
        InputError: a size out of range.

    >>> from gainstage.theory import resampling_matrix
    >>> resampling_matrix(2, 4).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    if kind not in get_args(Interpolation):
        raise UnknownNameError("interpolation", kind, get_args(Interpolation))
    n, m = _whole("size", size), _whole("new size", new_size)
    found = np.zeros((m, n))
    outputs = np.arange(m)
    if kind == "area":
        for row in range(m):
            first, last = row * n // m, -((-(row + 1) * n) // m)
            found[row, first:last] = 1 / (last - first)
        return found
    if kind == "nearest":
        found[outputs, np.minimum(outputs * n // m, n - 1)] = 1.0
        return found
    ratio = n / m
    if align_corners:
        centres: Array = np.asarray(outputs * (n - 1) / max(m - 1, 1), dtype=np.float64)
    else:
        centres = np.asarray((outputs + 0.5) * ratio - 0.5, dtype=np.float64)
    widened = ratio if antialias and ratio > 1 else 1.0
    reach = 1.0 if kind == "linear" else 2.0
    low = np.floor(centres - reach * widened).astype(int)
    for offset in range(int(2 * reach * widened) + 3):
        places = low + offset
        weights = _kernel((places - centres) / widened, kind, antialias)
        if antialias:  # positions outside are dropped, and the rest is normalized
            weights = np.where((places >= 0) & (places < n), weights, 0.0)
        np.add.at(found, (outputs, np.clip(places, 0, n - 1)), weights)
    return np.asarray(found / found.sum(-1, keepdims=True))


def _kernel(distance: Array, kind: Interpolation, antialias: bool) -> Array:
    x: Array = np.abs(distance)
    if kind == "linear":
        return np.asarray(np.maximum(1 - x, 0.0))
    a = _CUBIC[antialias]
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.asarray(np.where(x <= 1, near, np.where(x < 2, far, 0.0)))


def _whole(what: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"The {what} of an axis is a whole number, at least 1; received {value!r}.")
    return int(value)
