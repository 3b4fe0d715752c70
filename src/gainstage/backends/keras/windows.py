"""What prediction needs to know of sliding windows and products of signals, as settings of a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gainstage.backends.keras.call import Call, channel_axis

__all__ = ["convolution_windows", "pooling_windows", "product_settings"]

Settings = tuple[tuple[str, float], ...]


def convolution_windows(call: Call) -> Settings:
    """Size, kernel, stride, padding and dilation of every axis."""
    weight = tuple(call.operands[1].shape)
    kernel = weight[:-2]
    return _axes(call, kernel, call.setting("strides", 1), call.setting("dilation_rate", 1))


def pooling_windows(call: Call) -> Settings:
    """The same for pooling; an adaptive one is taken for windows of equal size side by side."""
    sizes = _spatial(call, 0)
    if call.name.startswith("Adaptive"):
        outs = _spatial_of(tuple(call.output.shape), call)
        kernel = tuple(max(size // max(out, 1), 1) for size, out in zip(sizes, outs, strict=True))
        return _axes(call, kernel, kernel, 1)
    kernel = _spread(call.setting("pool_size", 1), len(sizes), 1)
    return _axes(call, kernel, call.setting("strides") or kernel, 1)


def product_settings(call: Call) -> Settings:
    """How many terms are summed in a product of two signals, and whether they run over the units of each.

    The last axis is that of units, unless a transposition has put another one there: of q kᵀ and of softmax × v.
    """
    first, second = (tuple(operand.shape) for operand in call.operands[:2])
    left, right = (value.unit_axis for value in call.values[:2])
    if call.name == "Einsum":
        operands, _, result = call.setting("subscripts", "").replace(" ", "").partition("->")
        a, b = operands.split(",")
        summed = [letter for letter in a if letter in b and letter not in result]
        if len(summed) != 1:
            return ()
        count = first[a.index(summed[0])]
        return (
            ("contracted", float(count)),
            ("first_units", float(a.index(summed[0]) == len(a) - 1)),
            ("second_units", float(b.index(summed[0]) == len(b) - 1)),
        )
    if not first or len(second) < 2:
        return ()
    return (
        ("contracted", float(first[-1])),
        ("first_units", float(left is None or left == len(first) - 1)),
        ("second_units", float(right is not None and right == len(second) - 2)),
    )


def _axes(call: Call, kernel: Sequence[int], stride: Any, dilation: Any) -> Settings:
    sizes = _spatial(call, 0)
    strides, dilations = _spread(stride, len(sizes), 1), _spread(dilation, len(sizes), 1)
    same = call.setting("padding", "valid") == "same"
    found: list[tuple[str, float]] = []
    for axis, size in enumerate(sizes):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        before = 0
        if same and call.name == "ConvTranspose":
            before = max(reach - strides[axis], 0) // 2
        elif same:
            out = -(-size // strides[axis])
            before = max((out - 1) * strides[axis] + reach - size, 0) // 2
        fields = {
            "size": size,
            "kernel": kernel[axis],
            "stride": strides[axis],
            "padding": before,
            "dilation": dilations[axis],
        }
        found += [(f"{name}_{axis}", float(value)) for name, value in fields.items()]
    return tuple(found)


def _spatial(call: Call, operand: int) -> tuple[int, ...]:
    return _spatial_of(tuple(call.operands[operand].shape), call)


def _spatial_of(shape: tuple[int, ...], call: Call) -> tuple[int, ...]:
    """The sizes of the axes that are neither examples nor channels."""
    channels = channel_axis(call.setting("data_format"), len(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in (0, channels))


def _spread(value: Any, count: int, default: int) -> tuple[int, ...]:
    """One number for all axes, or one for each."""
    if isinstance(value, int):
        return (value,) * count
    if isinstance(value, (list, tuple)) and value:
        return tuple(int(v) for v in (*value, *value[-1:] * count))[:count]
    return (default,) * count
