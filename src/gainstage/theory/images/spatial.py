"""What the edges of an image and a change of its size do to second moments, one axis at a time.

The factor of a kernel over height and width is the product of those of its axes. A *profile* is the second moment along
one axis, relative to any level: zero padding makes it fall towards the border.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from gainstage.errors import InputError, UnknownNameError
from gainstage.theory.activations import Array
from gainstage.theory.images.windows import Window

__all__ = ["Interpolation", "padded_profile", "padding_factor", "resampling_factor", "resampling_matrix"]

Interpolation = Literal["nearest", "linear", "cubic", "area"]
"""How values between places are made; ``linear`` on both axes is bilinear, ``cubic`` bicubic."""

_CUBIC = {True: -0.5, False: -0.75}  # the free coefficient of the kernel, with and without antialiasing


def padding_factor(
    size: int, kernel: int, *, stride: int = 1, padding: int | tuple[int, int] = 0, dilation: int = 1
) -> float:
    """The share of a convolution's taps along one axis that meet the signal and not the zeros around it, exactly.

    Args:
        size: of the input along the axis.
        kernel: taps along the axis.
        stride: of the windows.
        padding: zeros on both sides, or before and after.
        dilation: distance of taps.

    Raises:
        InputError: a count out of range, or a kernel that does not fit.

    >>> from gainstage.theory import padding_factor
    >>> round(padding_factor(8, 3, padding=1) ** 2, 6)        # 3 × 3 on 8 × 8: ((3·8 - 2) / (3·8))²
    0.840278
    """
    return float(padded_profile(np.ones(_whole("size", size)), kernel, stride, padding, dilation).mean())


def padded_profile(
    profile: npt.ArrayLike,
    kernel: int,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    *,
    backward: int | None = None,
) -> Array:
    """The profile of second moments one convolution on: every output takes the mean over its taps, zeros counted.

    Repeated, a 3-wide kernel with padding 1 settles at a sine, and loses (1 + 2 cos(π/(n + 1)))/3 a layer. Through
    functions that keep the form of a profile (positively homogeneous ones) this is exact.

    Args:
        profile: second moments along the axis, shape (size,).
        kernel: taps along the axis.
        stride: of the windows.
        padding: zeros on both sides, or before and after.
        dilation: distance of taps.
        backward: the size of the input: ``profile`` is then that of the gradient at the outputs, and what it becomes at
            the inputs is returned, its sum over taps divided by their number as well.

    Returns:
        Second moments along the axis, at the outputs (inputs when ``backward``).

    Raises:
        InputError: a count out of range, or a kernel that does not fit.

    >>> from gainstage.theory import padded_profile
    >>> padded_profile([1.0, 1.0, 1.0], kernel=3, padding=1).round(3).tolist()
    [0.667, 1.0, 0.667]
    """
    values = np.asarray(profile, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise InputError(f"A profile is a row of finite second moments; received an array of shape {values.shape}.")
    size = values.size if backward is None else _whole("size", backward)
    kernel, stride, dilation = _whole("kernel", kernel), _whole("stride", stride), _whole("dilation", dilation)
    before, after = padding if isinstance(padding, tuple) else (padding, padding)
    outputs = (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
    if min(before, after) < 0 or outputs < 1:
        raise InputError(f"A kernel of {kernel} taps does not fit {size} places with padding {padding!r}.")
    if backward is not None and outputs != values.size:
        raise InputError(f"The gradient's profile has {outputs} places; received {values.size}.")
    window = Window(size, outputs, kernel, stride, before, dilation)
    return (window.gathered(values) if backward is None else window.returned(values)) / kernel


def resampling_factor(
    size: int,
    new_size: int,
    kind: Interpolation = "linear",
    *,
    correlation: float = 0.0,
    align_corners: bool = False,
    antialias: bool = False,
) -> float:
    """The factor of an interpolation along one axis on the second moment: the mean over outputs of r + (1 - r) Σ w².

    Over two axes of independent places it is the product (for ``correlation`` 0). Backward, for independent gradients:
    the same factor times outputs/inputs.

    Args:
        size: before, along the axis.
        new_size: after.
        kind: ``nearest``, ``linear`` (bilinear on two axes), ``cubic`` or ``area`` (adaptive average pooling).
        correlation: of two places, uncentred.
        align_corners: whether the outermost places, not the outermost edges, are kept.
        antialias: whether kernels widen when the size shrinks.

    Raises:
        UnknownNameError: no such kind.
        InputError: a size or correlation out of range.

    >>> from gainstage.theory import resampling_factor
    >>> round(resampling_factor(32, 64), 4), resampling_factor(32, 64, "nearest")
    (0.6367, 1.0)
    """
    if not -1 <= correlation <= 1:
        raise InputError(f"A correlation lies between -1 and 1; received {correlation!r}.")
    weights = resampling_matrix(size, new_size, kind, align_corners=align_corners, antialias=antialias)
    squares = (weights**2).sum(-1)
    return float((correlation * weights.sum(-1) ** 2 + (1 - correlation) * squares).mean())


def resampling_matrix(
    size: int, new_size: int, kind: Interpolation = "linear", *, align_corners: bool = False, antialias: bool = False
) -> Array:
    """The weights of an interpolation along one axis, shape (new_size, size); rows sum to one.

    Args:
        size: before.
        new_size: after.
        kind: how values between places are made.
        align_corners: whether the outermost places, not the outermost edges, are kept.
        antialias: whether kernels widen when the size shrinks.

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
        if antialias:  # places outside are left out, and the rest shares
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
