"""From one ATen call to a draft of a node: what it does to the signal, and with which parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from gainstage.backends.torch import operations as table
from gainstage.backends.torch.values import Value
from gainstage.graph import KernelShape, Layout, Operation, Slot, Stage, Use

__all__ = ["Draft", "classify"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A node as the interpreter writes it down; ``assemble`` makes the graph's ``Node`` of it."""

    operation: Operation
    name: str
    shape: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    function: str = ""
    settings: tuple[tuple[str, float], ...] = ()
    uses: tuple[Use, ...] = ()
    kernel: KernelShape | None = None
    layout: Layout = "out_in"
    index: int = -1
    path: str = ""
    stage: Stage = "model"
    dtype: str = "float32"
    example_stride: int | None = None
    unit_axis: int | None = None
    from_input: bool = True
    part: int = 0
    recurrent: nn.Module | None = None
    operands: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class _Call:
    """One ATen call with what is known of its tensors."""

    func: Any
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: Sequence[torch.Tensor]
    values: Sequence[Value]
    output: torch.Tensor

    def pairs(self) -> list[tuple[torch.Tensor, Value]]:
        return list(zip(self.tensors, self.values, strict=True))

    def argument(self, name: str, default: Any = None) -> Any:
        for position, formal in enumerate(self.func._schema.arguments):
            if formal.name == name:
                return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)
        return default

    def number(self, name: str, default: float) -> float:
        value = self.argument(name, default)
        return float(value) if isinstance(value, (int, float)) else default


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
    call = _Call(func, name, args, kwargs, tensors, values, output)
    for rule in (_learned, _embedding, _linear, _convolution, _normalization, _named, _loss, _structural):
        draft = rule(call)
        if draft is not None:
            return draft
    if not (output.is_floating_point() or output.is_complex()):
        return None
    return _pointwise(call) or _draft(call, Operation.UNKNOWN)


# -- pieces ----------------------------------------------------------------------------------------------------------


def _signals(call: _Call) -> list[Value]:
    """The operands that carry the signal: discrete ones only where there is no other."""
    signals = [v for v in call.values if v.node is not None and not v.discrete]
    return signals or [v for v in call.values if v.node is not None]


def _uses(value: Value, slot: Slot) -> tuple[Use, ...]:
    return tuple(Use(d.parameter, slot, d.chain) for d in value.derivations)


def _draft(call: _Call, operation: Operation, *, uses: tuple[Use, ...] | None = None, **fields: Any) -> Draft:
    """A draft whose inputs are the signals and whose static operands are its uses."""
    signals = _signals(call)
    if uses is None:
        uses = tuple(use for v in call.values if v.node is None for use in _uses(v, "operand"))
    return Draft(
        operation,
        call.name,
        shape=tuple(call.output.shape),
        uses=uses,
        inputs=tuple(dict.fromkeys(v.node for v in signals if v.node is not None)),
        from_input=any(v.from_input for v in signals),
        **fields,
    )


# -- rules, in order -------------------------------------------------------------------------------------------------


def _learned(call: _Call) -> Draft | None:
    """A learned token handed to every example: it enters like an input."""
    if call.name in ("expand", "repeat") and all(v.node is None for v in call.values):
        return _draft(call, Operation.INPUT, function="learned")
    return None


def _embedding(call: _Call) -> Draft | None:
    """Rows of a weight picked by indices."""
    if call.name in ("embedding", "_embedding_bag", "_embedding_bag_forward_only") or (
        call.name in ("index", "index_select") and call.values[0].node is None and call.values[0].derivations
    ):
        weight, value = call.tensors[0], call.values[0]
    else:
        return None
    if value.node is not None:
        return None
    kernel = KernelShape(weight.shape[-1], weight.shape[0]) if weight.dim() == 2 else None
    return _draft(call, Operation.EMBEDDING, uses=_uses(value, "weight"), kernel=kernel, layout="in_out")


_MATRIX = {
    **dict.fromkeys(("mm", "bmm", "mv", "linear", "dot", "matmul"), (0, 1)),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm", "addmv", "_addmm_activation"), (1, 2)),
}
"""Matrix products, with the positions of their two factors."""


def _linear(call: _Call) -> Draft | None:
    """Matrix products: signal × weight is a layer, signal × signal a ``MATMUL``."""
    if call.name not in _MATRIX:
        return None
    first, second = (call.args[i] for i in _MATRIX[call.name])
    by_id = {id(t): v for t, v in call.pairs()}
    left, right = by_id[id(first)], by_id[id(second)]
    if left.node is not None and right.node is not None and not (left.discrete or right.discrete):
        return _draft(call, Operation.MATMUL)
    weight_is_right = right.node is None
    weight, value = (second, right) if weight_is_right else (first, left)
    if not value.derivations:  # a constant matrix: a fixed mixing
        return _draft(call, Operation.SCALE, function="matrix")
    stored_as_linear = call.name == "linear"
    in_axis = weight.dim() - 1 if (not weight_is_right or stored_as_linear or weight.dim() == 1) else weight.dim() - 2
    out_axis = weight.dim() - 2 if in_axis == weight.dim() - 1 else weight.dim() - 1
    fan_in = weight.shape[in_axis]
    fan_out = weight.shape[out_axis] if weight.dim() > 1 else 1
    # The axis that is faster in memory is the one the parameter stores last.
    out_first = weight.dim() == 1 or weight.stride(in_axis) <= weight.stride(out_axis)
    uses = list(_uses(value, "weight"))
    for other in call.values:
        if other is not value and other.node is None:
            uses += _uses(other, "bias")
    draft = _draft(
        call,
        Operation.LINEAR,
        uses=tuple(uses),
        kernel=KernelShape(fan_out, fan_in),
        layout="out_in" if out_first else "in_out",
    )
    unit = call.output.dim() - 1 if weight_is_right else call.output.dim() - 2
    return replace(draft, unit_axis=max(unit, 0))


def _convolution(call: _Call) -> Draft | None:
    if call.name not in ("convolution", "_convolution", "convolution_overrideable", "mkldnn_convolution"):
        return None
    weight, transposed = call.argument("weight"), bool(call.argument("transposed", False))
    groups = int(call.argument("groups", 1))
    by_id = {id(t): v for t, v in call.pairs()}
    value = by_id[id(weight)]
    if value.node is not None:
        return _draft(call, Operation.MATMUL, function="dynamic_convolution")
    if not value.derivations:
        return _draft(call, Operation.SCALE, function="filter")
    taps = 1
    for size in weight.shape[2:]:
        taps *= size
    if transposed:
        stride = 1
        for size in call.argument("stride", ()):
            stride *= size
        kernel = KernelShape(weight.shape[1] * groups, weight.shape[0], taps, groups, overlap=taps / stride)
    else:
        kernel = KernelShape(weight.shape[0], weight.shape[1] * groups, taps, groups)
    bias = call.argument("bias")
    uses = _uses(value, "weight") + (_uses(by_id[id(bias)], "bias") if bias is not None else ())
    layout: Layout = "in_out" if transposed else "out_in"
    return _draft(
        call,
        Operation.CONVOLUTION,
        uses=uses,
        kernel=kernel,
        layout=layout,
        function="transposed" if transposed else "",
    )


def _normalization(call: _Call) -> Draft | None:
    function = table.NORMALIZATIONS.get(call.name)
    if function is None:
        return None
    by_id = {id(t): v for t, v in call.pairs()}
    uses: tuple[Use, ...] = ()
    slots: tuple[tuple[str, Slot], ...] = (("weight", "scale"), ("bias", "shift"))
    for formal, slot in slots:
        tensor = call.argument(formal)
        if tensor is not None:
            uses += _uses(by_id[id(tensor)], slot)
    training = call.argument("training", call.argument("train", call.name != "_native_batch_norm_legit_no_training"))
    settings: tuple[tuple[str, float], ...] = (("eps", call.number("eps", 1e-5)),)
    if function == "batch_norm":
        settings += (("training", float(bool(training))),)
    return _draft(call, Operation.NORMALIZATION, uses=uses, function=function, settings=settings)


def _named(call: _Call) -> Draft | None:
    """Activations with a name in gainstage's table."""
    function = table.ACTIVATIONS.get(call.name)
    if function is None or not call.output.is_floating_point():
        return None
    uses = tuple(use for v in call.values[1:] if v.node is None for use in _uses(v, "operand"))
    settings: tuple[tuple[str, float], ...] = ()
    if function == "leaky_relu":
        settings = (("negative_slope", call.number("negative_slope", 0.01)),)
    elif function in ("softplus",):
        settings = (("beta", call.number("beta", 1.0)),)
    elif function == "elu":
        scale, alpha = call.number("scale", 1.0), call.number("alpha", 1.0)
        input_scale = call.number("input_scale", 1.0)
        if abs(scale - 1.0507009873554805) < 1e-6:
            function = "selu"
        elif input_scale != 1.0:
            function, settings = "celu", (("alpha", 1.0 / input_scale),)
        else:
            settings = (("alpha", alpha),)
    elif function == "celu":
        settings = (("alpha", call.number("alpha", 1.0)),)
    elif function == "gelu" and call.argument("approximate", "none") == "tanh":
        function = "gelu_tanh"
    elif function == "hardtanh":
        low, high = call.number("min_val", -1.0), call.number("max_val", 1.0)
        if (low, high) == (0.0, 6.0):
            function = "relu6"
        else:
            settings = (("min_val", low), ("max_val", high))
    elif function in ("softshrink", "hardshrink"):
        settings = (("lambd", call.number("lambd", 0.5)),)
    elif function == "threshold":
        settings = (("threshold", call.number("threshold", 0.0)), ("value", call.number("value", 0.0)))
    elif function == "pow":
        exponent = call.argument("exponent", 2.0)
        if not isinstance(exponent, (int, float)):
            return _draft(call, Operation.UNKNOWN)
        settings = (("exponent", float(exponent)),)
    return _draft(call, Operation.ACTIVATION, uses=uses, function=function, settings=settings)


def _loss(call: _Call) -> Draft | None:
    function = table.LOSSES.get(call.name)
    if function is None:
        return None
    # ATen's numbers: 0 keeps every example, 1 takes the mean, 2 the sum.
    return _draft(call, Operation.LOSS, function=function, settings=(("reduction", call.number("reduction", 1.0)),))


def _structural(call: _Call) -> Draft | None:
    operation = table.STRUCTURAL.get(call.name)
    if operation is None:
        return None
    if not (call.output.is_floating_point() or call.output.is_complex()):
        return None
    function = ""
    if operation is Operation.SOFTMAX:
        function = "log_softmax" if "log" in call.name else "softmax"
    elif operation is Operation.POOLING:
        function = "max" if "max" in call.name else "average"
    elif operation is Operation.REDUCTION:
        function = call.name
    if operation is Operation.DROPOUT:
        return _draft(call, operation, settings=(("p", call.number("p", 0.5)),))
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
            uses=tuple(use for v in sources if v.node is None for use in _uses(v, "operand")),
        )
    settings: tuple[tuple[str, float], ...] = ()
    if operation in (Operation.CONCATENATION, Operation.SOFTMAX):
        axis = call.number("dim", 0.0)
        settings = (("axis", axis % max(call.output.dim(), 1)),)
    return _draft(call, operation, function=function, settings=settings)


_ADDITIVE = frozenset({"add", "sub", "rsub", "addcmul", "addcdiv", "lerp", "_foreach_add"})
_MULTIPLICATIVE = frozenset({"mul", "div", "addcmul", "true_divide"})


def _pointwise(call: _Call) -> Draft | None:
    """Elementwise operations without a name of their own: sums, products, gates, scalings."""
    if not table.is_pointwise(call.func):
        return None
    signals = _signals(call)
    live = [v for v in signals if v.from_input] or signals
    statics = [v for v in call.values if v.node is None]
    if len(signals) >= 2 and call.name in _ADDITIVE | _MULTIPLICATIVE:
        if call.name in _ADDITIVE:
            return _draft(call, Operation.ADD if len(live) > 1 else Operation.OFFSET)
        return _draft(call, Operation.MULTIPLY)
    if len(signals) >= 2:
        return _draft(call, Operation.UNKNOWN)
    if call.name in _MULTIPLICATIVE and any(v.random for v in statics):
        return _draft(call, Operation.DROPOUT)
    if call.name in _ADDITIVE:
        return _draft(call, Operation.OFFSET, uses=_static_uses(call, "bias"), settings=_scalar(call, "other"))
    if call.name in _MULTIPLICATIVE and not _divides_by_signal(call):
        return _draft(call, Operation.SCALE, uses=_static_uses(call, "scale"), settings=_scalar(call, "other"))
    if call.name in ("neg", "conj_physical", "real", "imag"):
        return _draft(call, Operation.SCALE, settings=(("other", -1.0),) if call.name == "neg" else ())
    if call.name in ("clamp", "clamp_min", "clamp_max"):
        return _draft(call, Operation.ACTIVATION, function=_clamp(call))
    return _draft(call, Operation.ACTIVATION, function=call.name)


def _clamp(call: _Call) -> str:
    """``clamp(min=0)`` is a rectifier by another name."""
    low = call.argument("min")
    high = call.argument("max") if call.name == "clamp" else None
    return "relu" if low == 0 and high is None and call.name != "clamp_max" else "clamp"


def _divides_by_signal(call: _Call) -> bool:
    return call.name in ("div", "true_divide") and call.values[0].node is None


def _static_uses(call: _Call, slot: Slot) -> tuple[Use, ...]:
    """A vector (or a broadcast one) acts as bias or scale; anything with more axes is an operand of its own kind."""
    uses: tuple[Use, ...] = ()
    for tensor, value in call.pairs():
        if value.node is None:
            wide = sum(size > 1 for size in tensor.shape) > 1
            uses += _uses(value, "operand" if wide else slot)
    return uses


def _scalar(call: _Call, name: str) -> tuple[tuple[str, float], ...]:
    value = call.argument(name)
    if not isinstance(value, (int, float)):
        return ()
    number = float(value)
    return (("other", 1.0 / number if call.name in ("div", "true_divide") and number else number),)
