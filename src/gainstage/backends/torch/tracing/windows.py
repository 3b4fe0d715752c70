"""What prediction needs to know of sliding windows, of attention and of products of signals, as settings of a node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gainstage.backends.torch.tracing.call import Call
from gainstage.backends.torch.tracing.provenance import is_square

__all__ = ["attention_settings", "convolution_windows", "pooling_windows", "product_settings", "selected_part"]

Settings = tuple[tuple[str, float], ...]


def convolution_windows(call: Call) -> Settings:
    """Size, kernel, stride, padding and dilation of every axis."""
    signal, weight = call.argument("input"), call.argument("weight")
    kernel = tuple(weight.shape[2:])
    return _axes(
        tuple(signal.shape[signal.dim() - len(kernel) :]),
        kernel,
        call.argument("stride", ()),
        call.argument("padding", ()),
        call.argument("dilation", ()),
    )


def pooling_windows(call: Call) -> Settings:
    """The same for pooling; an adaptive one is taken for windows of equal size side by side."""
    signal = call.tensors[0]
    rank = _rank(call.name)
    sizes, outs = tuple(signal.shape[-rank:]), tuple(call.output.shape[-rank:])
    if "adaptive" in call.name:
        steps = tuple(max(size // max(out, 1), 1) for size, out in zip(sizes, outs, strict=True))
        return _axes(sizes, steps, steps, (0,) * rank, (1,) * rank)
    kernel = call.argument("kernel_size", ())
    return _axes(
        sizes,
        kernel,
        call.argument("stride", None) or kernel,
        call.argument("padding", ()),
        call.argument("dilation", ()),
    )


def _rank(name: str) -> int:
    return next((rank for rank in (1, 2, 3) if f"{rank}d" in name), 2)


def _axes(sizes: Sequence[int], kernel: Any, stride: Any, padding: Any, dilation: Any) -> Settings:
    found: list[tuple[str, float]] = []
    for axis, size in enumerate(sizes):
        fields = {
            "size": size,
            "kernel": _at(kernel, axis, 1),
            "stride": _at(stride, axis, 1),
            "padding": _at(padding, axis, 0),
            "dilation": _at(dilation, axis, 1),
        }
        found += [(f"{name}_{axis}", float(value)) for name, value in fields.items()]
    return tuple(found)


def _at(values: Any, axis: int, default: int) -> int:
    """One value for all axes, or one for each."""
    if isinstance(values, int):
        return values
    if not isinstance(values, (list, tuple)) or not values:
        return default
    return int(values[axis] if axis < len(values) else values[-1])


def padding_settings(call: Call) -> Settings:
    """Places of every axis, and zeros set before and after them; nothing where something else than zero is set there.

    PyTorch tells the last axis first. Examples and units come before places.
    """
    ends = call.argument("pad", ())
    if call.number("value", 0.0) or not call.tensors or not all(isinstance(end, int) for end in ends):
        return ()
    sizes = call.tensors[0].shape[2:]
    if len(ends) > 2 * len(sizes):
        return ()
    found: list[tuple[str, float]] = []
    for axis, size in enumerate(sizes):
        last = 2 * (len(sizes) - 1 - axis)
        before, after = ends[last : last + 2] if last < len(ends) else (0, 0)
        fields = {"size": size, "before": before, "after": after}
        found += [(f"{name}_{axis}", float(value)) for name, value in fields.items()]
    return tuple(found)


def selected_part(call: Call) -> Settings:
    """Axis, first and last but one index of a slice; none where it takes every other element."""
    shape = call.tensors[0].shape
    axis = int(call.number("dim", 0.0)) % max(len(shape), 1)
    size = shape[axis]
    if call.name == "select":
        start = int(call.number("index", 0.0)) % max(size, 1)
        stop = start + 1
    else:
        start, stop = (call.argument(name) for name in ("start", "end"))
        if call.name == "narrow":
            stop = int(call.number("start", 0.0)) + int(call.number("length", 0.0))
        if call.number("step", 1.0) != 1 or not all(isinstance(v, int | None) for v in (start, stop)):
            return ()
        start, stop, _ = slice(start, stop).indices(size)
    return (("axis", float(axis)), ("start", float(start)), ("stop", float(stop)), ("size", float(size)))


def attention_settings(call: Call) -> Settings:
    """Keys in a row, width and factor of the scores, whether a row sees only what came before, share dropped.

    A square mask is told as ``masked``, and as ``ordered`` where one comparison of places with places made it: the
    values of other masks are not known at tracing.
    """
    query, key = call.tensors[0], call.tensors[1]
    scale = call.argument("scale")
    mask = next((call.argument(n) for n in ("attn_mask", "attn_bias") if call.argument(n) is not None), None)
    factor = float(scale) if isinstance(scale, (int, float)) else query.shape[-1] ** -0.5
    square = isinstance(mask, torch.Tensor) and is_square(mask) and not call.of(mask).padding
    return (
        ("keys", float(key.shape[-2])),
        ("width", float(query.shape[-1])),
        ("scale", factor),
        ("causal", float(bool(call.argument("is_causal", False)))),
        ("masked", float(square)),
        ("ordered", float(isinstance(mask, torch.Tensor) and square and call.of(mask).orders == 1)),
        ("p", call.number("dropout_p", 0.0)),
    )


def product_settings(call: Call, first: torch.Tensor, second: torch.Tensor) -> Settings:
    """How many terms are summed in a product of two signals, whether they run over the units of each, its factor."""
    axes = call.of(first).unit_axis, call.of(second).unit_axis
    summed = first.dim() - 1, max(second.dim() - 2, 0)
    sides = zip(("first_units", "second_units"), axes, summed, strict=True)
    known = tuple((name, float(axis == over)) for name, axis, over in sides if axis is not None)
    alpha = call.number("alpha", 1.0)  # of what adds something to the product (baddbmm)
    factor = (("factor", alpha),) if alpha != 1 else ()
    return (("contracted", float(first.shape[-1])), *known, *factor)
