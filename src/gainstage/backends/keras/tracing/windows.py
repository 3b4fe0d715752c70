"""What prediction needs to know of sliding windows, of attention and of products of signals, as settings of a node."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from gainstage.backends.keras.tracing.call import Call, channel_axis

__all__ = [
    "attention_settings", "convolution_windows", "padding_settings", "pooling_windows", "product_settings",
    "turned_product",
]  # fmt: skip

Settings = tuple[tuple[str, float], ...]


def convolution_windows(call: Call) -> Settings:
    """Size, kernel, stride, padding and dilation of every axis; padding is what stands before the first place."""
    signal, weight = (tuple(operand.shape) for operand in call.operands[:2])
    return _axes(
        _places(call, signal),
        weight[:-2],
        call.setting("strides", 1),
        call.setting("dilation_rate", 1),
        str(call.setting("padding", "valid")),
        transposed=call.name == "ConvTranspose",
    )


def pooling_windows(call: Call) -> Settings:
    """The same for pooling; an adaptive one is taken for windows of equal size side by side."""
    sizes = _places(call, tuple(call.operands[0].shape))
    if "Adaptive" in call.name:
        outs = _places(call, tuple(call.output.shape))
        steps = tuple(max(size // max(out, 1), 1) for size, out in zip(sizes, outs, strict=True))
        return _axes(sizes, steps, steps, 1, "valid")
    kernel = call.setting("pool_size", 1)
    strides = call.setting("strides")
    return _axes(sizes, kernel, kernel if strides is None else strides, 1, str(call.setting("padding", "valid")))


def _places(call: Call, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes that are neither examples nor channels."""
    gone = {0, channel_axis(call.setting("data_format"), len(shape))}
    return tuple(size for axis, size in enumerate(shape) if axis not in gone)


def _axes(
    sizes: Sequence[int], kernel: Any, stride: Any, dilation: Any, padding: str, *, transposed: bool = False
) -> Settings:
    found: list[tuple[str, float]] = []
    for axis, size in enumerate(sizes):
        taps, step, apart = (_at(values, axis) for values in (kernel, stride, dilation))
        reach = (taps - 1) * apart + 1
        before = 0
        if padding == "same":
            covered = step if transposed else (-(-size // step) - 1) * step + reach - size
            before = max(reach - step if transposed else covered, 0) // 2
        elif padding == "causal":
            before = reach - 1
        fields = {"size": size, "kernel": taps, "stride": step, "padding": before, "dilation": apart}
        found += [(f"{name}_{axis}", float(value)) for name, value in fields.items()]
    return tuple(found)


def _at(values: Any, axis: int) -> int:
    """One value for all axes, or one for each."""
    if isinstance(values, (list, tuple)):
        return int(values[axis] if axis < len(values) else values[-1])
    return int(values)


def padding_settings(call: Call) -> Settings:
    """Places of every axis, and zeros set before and after them."""
    shape, ends = tuple(call.operands[0].shape), tuple(call.setting("pad_width", ()))
    if len(ends) != len(shape) or call.setting("mode") != "constant":
        return ()
    found: list[tuple[str, float]] = []
    gone = {0, channel_axis(None, len(shape))}
    for axis, place in enumerate(i for i in range(len(shape)) if i not in gone):
        fields = {"size": shape[place], "before": ends[place][0], "after": ends[place][1]}
        found += [(f"{name}_{axis}", float(value)) for name, value in fields.items()]
    return tuple(found)


def attention_settings(call: Call) -> Settings:
    """Rows and keys, width and factor of the scores, whether a row sees only what came before.

    Keras lays heads behind positions: ``(batch, positions, heads, width)``. A mask whose values are not known at
    tracing is told as ``masked``.
    """
    query, key = call.operands[0], call.operands[1]
    arguments = {
        **dict(zip(("q", "k", "v", "bias", "mask", "scale"), call.step.args, strict=False)),
        **call.step.kwargs,
    }
    scale, mask = arguments.get("scale"), arguments.get("mask")
    rows, keys, width = query.shape[1], key.shape[1], query.shape[-1]
    square = mask is not None and len(mask.shape) >= 2 and mask.shape[-1] == mask.shape[-2] > 1
    return (
        ("rows", float(rows)),
        ("keys", float(keys)),
        ("width", float(width)),
        ("scale", float(scale) if isinstance(scale, (int, float)) else width**-0.5),
        ("causal", float(bool(call.setting("is_causal", False)))),
        ("masked", float(square)),
        ("p", 0.0),
    )


def turned_product(call: Call) -> bool:
    """Whether the rows of a product are those of its second factor, as in Keras's ``key, query`` order of scores."""
    if call.name != "Einsum":
        return False
    left, right, result = _letters(call)
    rows = [
        next((i for i, a in enumerate(result) if a in own and a not in other), len(result))
        for own, other in ((left, right), (right, left))
    ]
    return rows[1] < rows[0]


def product_settings(call: Call) -> Settings:
    """How many terms are summed in a product of two signals, and whether they run over the units of each.

    Of an Einstein sum also how many rows and columns the product has, since they may lie on any axes.
    """
    order = (1, 0) if turned_product(call) else (0, 1)
    shapes = [tuple(call.operands[i].shape) for i in order]
    axes = [call.values[i].unit_axis for i in order]
    laid: Settings = ()
    if call.name == "Einsum":
        letters = _letters(call)
        sides = [letters[i] for i in order]
        summed = [a for a in sides[0] if a in sides[1] and a not in letters[2]]
        contracted = prod(shapes[0][sides[0].index(a)] for a in summed if a in sides[0])
        free = [prod(n for a, n in zip(own, shape, strict=True) if a in letters[2] and a not in other)
                for own, other, shape in zip(sides, sides[::-1], shapes, strict=True)]  # fmt: skip
        laid = ("rows", float(free[0])), ("columns", float(free[1]))
        units = [axis is not None and axis < len(own) and own[axis] in summed
                 for axis, own in zip(axes, sides, strict=True)]  # fmt: skip
    else:
        contracted = shapes[0][-1]
        units = [axes[0] in (None, len(shapes[0]) - 1), axes[1] == max(len(shapes[1]) - 2, 0)]
    over = ("first_units", float(units[0])), ("second_units", float(units[1]))
    return (("contracted", float(contracted)), *over, *laid)


def _letters(call: Call) -> tuple[str, str, str]:
    operands, _, result = call.setting("subscripts", "").replace(" ", "").partition("->")
    left, right = operands.split(",")
    return left, right, result
