"""From one ATen call to a draft of a node: what it does to the signal, and with which parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import torch

from gainstage.backends.torch.tracing import operations as table
from gainstage.backends.torch.tracing.call import Call, Draft, draft_of, uses_of
from gainstage.backends.torch.tracing.elementwise import activation, masking, pointwise
from gainstage.backends.torch.tracing.normalizations import normalization
from gainstage.backends.torch.tracing.provenance import Value
from gainstage.backends.torch.tracing.windows import (
    attention_settings,
    convolution_windows,
    padding_settings,
    pooling_windows,
    product_settings,
    selected_part,
)
from gainstage.graph import DerivationStep, KernelShape, Layout, Operation

__all__ = ["Draft", "classify"]


def classify(
    func: Any,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    tensors: Sequence[torch.Tensor],
    values: Sequence[Value],
    output: torch.Tensor,
) -> Draft | None:
    """The draft of a node, or None where the result is discrete (an index or a mask) and passes no gradient."""
    call = Call(func, name, args, kwargs, tensors, values, output)
    rules = (_learned, _embedding, _linear, _bilinear, _convolution, normalization, activation, _loss, _structural)
    for rule in rules:
        draft = rule(call)
        if draft is not None:
            return draft
    if not (output.is_floating_point() or output.is_complex()):
        return None
    return pointwise(call) or draft_of(call, Operation.UNKNOWN)


def _learned(call: Call) -> Draft | None:
    """A learned token handed to every example: it enters like an input."""
    if call.name in ("expand", "repeat") and all(v.node is None for v in call.values):
        return draft_of(call, Operation.INPUT, function="learned")
    return None


def _embedding(call: Call) -> Draft | None:
    """Rows of a weight picked by indices."""
    table_lookup = call.name in ("embedding", *_BAGS)
    picked = call.name in ("index", "index_select") and call.values[0].node is None and call.values[0].derivations
    if not table_lookup and not picked:
        return None
    weight, value = call.tensors[0], call.values[0]
    if value.node is not None:  # rows of a signal
        return draft_of(call, Operation.RESHAPE)
    kernel = KernelShape(weight.shape[-1], weight.shape[0]) if weight.dim() == 2 else None
    # ATen's numbers: 0 sums the rows of an example, 1 takes their mean, 2 the largest.
    function = ("bag_sum", "bag_mean", "bag_max")[int(call.number("mode", 0))] if call.name in _BAGS else ""
    uses = uses_of(value, "weight")
    return draft_of(call, Operation.EMBEDDING, function=function, uses=uses, kernel=kernel, layout="in_out")


_BAGS = ("_embedding_bag", "_embedding_bag_forward_only")
_MATRIX = {
    **dict.fromkeys(("mm", "bmm", "mv", "linear", "dot", "matmul", "_grouped_mm"), (0, 1)),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm", "addmv", "_addmm_activation"), (1, 2)),
}
"""Matrix products, with the positions of their two factors."""


def _linear(call: Call) -> Draft | None:
    """Matrix products: signal × weight is a layer, signal × signal a ``MATMUL``."""
    if call.name not in _MATRIX:
        return None
    first, second = (call.args[i] for i in _MATRIX[call.name])
    left, right = call.of(first), call.of(second)
    if left.node is not None and right.node is not None and not (left.discrete or right.discrete):
        return draft_of(call, Operation.MATMUL, settings=product_settings(call, first, second))
    weight_is_right = right.node is None
    weight, value = (second, right) if weight_is_right else (first, left)
    if not value.derivations:  # a constant matrix: a fixed mixing
        return draft_of(call, Operation.SCALE, function="matrix")
    stored_as_linear = call.name == "linear"
    in_axis = weight.dim() - 1 if (not weight_is_right or stored_as_linear or weight.dim() == 1) else weight.dim() - 2
    out_axis = weight.dim() - 2 if in_axis == weight.dim() - 1 else weight.dim() - 1
    fan_in = weight.shape[in_axis]
    fan_out = weight.shape[out_axis] if weight.dim() > 1 else 1
    out_first = weight.dim() == 1 or _stored_last(weight, value, in_axis, out_axis)
    uses = list(uses_of(value, "weight"))
    for other in call.values:
        if other is not value and other.node is None:
            uses += uses_of(other, "bias")
    signal, read = (left, first) if weight_is_right else (right, second)
    summed = max(read.dim() - (1 if weight_is_right else 2), 0)
    draft = draft_of(
        call,
        Operation.LINEAR,
        uses=tuple(uses),
        kernel=KernelShape(fan_out, fan_in),
        layout="out_in" if out_first else "in_out",
        settings=_order(signal, summed),
    )
    unit = call.output.dim() - 1 if weight_is_right else call.output.dim() - 2
    return replace(draft, unit_axis=max(unit, 0))


def _order(signal: Value, summed: int) -> tuple[tuple[str, float], ...]:
    """Return a setting where the axis that is summed over does not begin with the units of the signal."""
    return () if signal.unit_axis == summed else (("unordered", 1.0),)


def _bilinear(call: Call) -> Draft | None:
    """Layers that multiply two signals and a weight of shape (out, first, second)."""
    if call.name != "_trilinear":
        return None
    weight = call.args[1]
    kernel = KernelShape(weight.shape[0], weight.shape[1] * weight.shape[2])
    draft = draft_of(call, Operation.BILINEAR, uses=uses_of(call.of(weight), "weight"), kernel=kernel, layout="out_in")
    return replace(draft, unit_axis=call.output.dim() - 1)


def _stored_last(weight: torch.Tensor, value: Value, axis: int, other: int) -> bool:
    """Whether a parameter stores an axis of its product behind another: the one that is faster in memory.

    Where one of them has a single element, the strides do not tell, but the operations since the parameter do.
    """
    if weight.shape[axis] > 1 and weight.shape[other] > 1:
        return weight.stride(axis) <= weight.stride(other)
    turns = value.derivations[0].chain.count(DerivationStep.TRANSPOSE)
    return (axis > other) is (turns % 2 == 0)


def _convolution(call: Call) -> Draft | None:
    if call.name not in ("convolution", "_convolution", "convolution_overrideable", "mkldnn_convolution"):
        return None
    weight, transposed = call.argument("weight"), bool(call.argument("transposed", False))
    groups = int(call.argument("groups", 1))
    value = call.of(weight)
    if value.node is not None:
        return draft_of(call, Operation.MATMUL, function="dynamic_convolution")
    if not value.derivations:
        return draft_of(call, Operation.SCALE, function="filter")
    taps = prod(weight.shape[2:])
    if transposed:
        stride = prod(call.argument("stride", ()))
        kernel = KernelShape(weight.shape[1] * groups, weight.shape[0], taps, groups, overlap=taps / stride)
    else:
        kernel = KernelShape(weight.shape[0], weight.shape[1] * groups, taps, groups)
    bias = call.argument("bias")
    uses = uses_of(value, "weight") + (uses_of(call.of(bias), "bias") if bias is not None else ())
    layout: Layout = "in_out" if transposed else "out_in"
    return draft_of(
        call,
        Operation.CONVOLUTION,
        uses=uses,
        kernel=kernel,
        layout=layout,
        function="transposed" if transposed else "",
        settings=(*convolution_windows(call), *_order(call.values[0], call.output.dim() - weight.dim() + 1)),
    )


def _loss(call: Call) -> Draft | None:
    function = table.LOSSES.get(call.name)
    if function is None:
        return None
    # ATen's numbers: 0 keeps every example, 1 takes the mean, 2 the sum. Operands arrive broadcast to each other.
    slack = _slack(call)
    settings = (
        ("reduction", call.number("reduction", 1.0)), ("terms", float(call.tensors[0].numel())),
        *((("slack", slack),) if slack is not None else ()),
    )  # fmt: skip
    return draft_of(call, Operation.LOSS, function=function, settings=settings)


def _slack(call: Call) -> float | None:
    """Time steps minus labels of the example that has least, for a loss that aligns sequences."""
    steps, labels = (_lengths(call.argument(name)) if call.name == "_ctc_loss" else [] for name in _LENGTHS)
    return min((float(a - b) for a, b in zip(steps, labels, strict=False)), default=None)


_LENGTHS = ("input_lengths", "target_lengths")


def _lengths(value: Any) -> list[int]:
    """Lengths as numbers; none where the tensor holds no values."""
    if type(value) is torch.Tensor and not value.is_meta:
        return [int(v) for v in value.reshape(-1).tolist()]
    return [v for v in value if isinstance(v, int)] if isinstance(value, (list, tuple)) else []


def _structural(call: Call) -> Draft | None:
    operation = table.STRUCTURAL.get(call.name)
    if operation is None:
        return None
    if not (call.output.is_floating_point() or call.output.is_complex()):
        return None
    function = _function(call, operation)
    if operation is Operation.DROPOUT:
        return draft_of(call, operation, settings=(("p", call.number("p", 0.5)),))
    if operation is Operation.POOLING:
        return draft_of(call, operation, function=function, settings=pooling_windows(call))
    if function == "pad":
        return draft_of(call, operation, function=function, settings=padding_settings(call))
    if operation is Operation.ATTENTION:
        return draft_of(call, operation, settings=attention_settings(call))
    if operation is Operation.RESHAPE and call.name in ("copy", "select_scatter", "slice_scatter"):
        # What is overwritten as a whole is forgotten; what is written into a part of something stays visible.
        whole = call.name == "copy"
        sources = call.values[1:] if whole else call.values
        nodes = tuple(dict.fromkeys(v.node for v in sources if v.node is not None))
        return Draft(
            operation,
            call.name,
            shape=tuple(call.output.shape),
            inputs=nodes,
            from_input=any(v.from_input for v in sources),
            uses=tuple(use for v in sources if v.node is None for use in uses_of(v, "operand")),
        )
    settings: tuple[tuple[str, float], ...] = ()
    if operation in (Operation.CONCATENATION, Operation.SOFTMAX):
        axis = call.number("dim", 0.0)
        settings = (("axis", axis % max(call.output.dim(), 1)),)
    elif operation is Operation.RESAMPLE and call.name.endswith("_aa"):
        settings = (("antialias", 1.0),)
    elif operation is Operation.RESHAPE and call.name in ("select", "slice", "narrow"):
        settings = selected_part(call)
    elif operation is Operation.RESHAPE and function == "gather" and _chosen(call):
        settings = (("chosen", 1.0),)
    return draft_of(call, operation, function=function, settings=settings)


def _chosen(call: Call) -> bool:
    """Report whether the input decides which elements are taken, as routers do."""
    return call.name == "topk" or any(value.discrete and value.from_input for value in call.values)


def _function(call: Call, operation: Operation) -> str:
    """The ``function`` of an operation that is neither weighted nor elementwise."""
    match operation:
        case Operation.SOFTMAX:
            return "log_softmax" if "log" in call.name else "softmax"
        case Operation.POOLING:
            return "max" if "max" in call.name else "average"
        case Operation.REDUCTION:
            return table.REDUCTIONS.get(call.name, call.name)
        case Operation.MASK:
            return masking(call)
        case Operation.RESHAPE:
            return table.REARRANGEMENTS.get(call.name, "")
        case Operation.RESAMPLE:
            return next((kind for kind in ("nearest", "cubic") if kind in call.name), "linear")
    return ""
