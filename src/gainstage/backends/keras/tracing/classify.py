"""From one step on the tape to a draft of a node: what it does to the signal, and with which weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from keras.layers import Layer, Normalization

from gainstage.backends.keras.models.geometry import (
    Geometry,
    convolution,
    depthwise,
    einsum,
    layer_kernel,
    matrix,
    transposed,
)
from gainstage.backends.keras.models.names import is_of_keras, named_layers, parameters_below
from gainstage.backends.keras.tracing import operations as table
from gainstage.backends.keras.tracing.call import Call, Draft, channel_axis, drafted, floating, signals_of, uses_of
from gainstage.backends.keras.tracing.expansions import Elementwise
from gainstage.backends.keras.tracing.windows import (
    attention_settings,
    convolution_windows,
    padding_settings,
    pooling_windows,
    product_settings,
    turned_product,
)
from gainstage.graph import DerivationStep, Operation, Slot, Use

__all__ = ["classify"]


def classify(call: Call) -> Draft | None:
    """The draft of a node, or None where the result is discrete (an index or a mask) and passes no gradient."""
    if isinstance(call.step.operation, Layer):
        return _layer(call) if floating(call.output) else None
    for rule in (_learned, _embedding, _linear, _convolution, _normalization, _named, _loss, _structural):
        draft = rule(call)
        if draft is not None:
            return draft
    if not floating(call.output):
        return None
    return _pointwise(call) or drafted(call, Operation.UNKNOWN)


# -- layers that stay whole ------------------------------------------------------------------------------------------

Settings = tuple[tuple[str, float], ...]

_SLOTS: Mapping[str, Slot] = {
    "gamma": "scale", "scale": "scale", "beta": "shift", "kernel": "weight", "recurrent_kernel": "state",
    "bias": "bias",
}  # fmt: skip


def _layer(call: Call) -> Draft:
    layer = call.step.operation
    known = table.whole_layer(layer)
    if known is None:
        below = tuple(Use(call.paths[id(v)], "operand") for v in parameters_below(layer))
        return drafted(call, Operation.UNKNOWN, uses=below)
    uses: tuple[Use, ...] = ()
    geometries: list[tuple[str, Geometry]] = []
    for inner in {id(inner): inner for _, inner in named_layers(layer)}.values():
        for variable in inner._trainable_variables:
            path = call.paths[id(variable)]
            slot: Slot = _SLOTS.get(variable.name, "operand") if is_of_keras(inner) else "operand"
            uses += (Use(path, slot),)
            geometry = layer_kernel(inner, tuple(variable.shape)) if slot in ("weight", "state") else None
            if geometry is not None:
                geometries.append((path, geometry))
    draft = drafted(call, known.kind, uses=uses, function=known.function, geometries=tuple(geometries))
    training = bool(call.step.kwargs.get("training")) and layer.trainable
    if known.kind is Operation.NORMALIZATION:
        eps: Settings = (("eps", float(getattr(layer, "epsilon", 0.0))),)
        if known.function == "batch_norm":
            return replace(draft, settings=(*eps, ("training", float(training))))
        return replace(draft, settings=(*eps, *_shared(call, known.function)))
    if known.kind is Operation.RESAMPLE and getattr(layer, "antialias", False):
        return replace(draft, settings=(("antialias", 1.0),))
    if isinstance(layer, Normalization) and known.kind is Operation.SCALE:
        return replace(draft, settings=(("other", 1.0),))
    if known.function == "one_hot":
        return replace(draft, settings=_one_hot(call))
    if known.kind is Operation.DROPOUT:
        return replace(draft, settings=(("p", float(getattr(layer, "rate", 0.0)) if training else 0.0),))
    if known.kind is Operation.RECURRENT:
        return replace(draft, geometry=next((g for _, g in geometries), None))
    return draft


def _shared(call: Call, function: str) -> Settings:
    """Into how many groups the units are parted, and whether positions share a statistic too."""
    if function == "group_norm":
        return ("groups", float(call.setting("groups"))), ("over_positions", 1.0)
    axes, shape = call.setting("axis", -1), tuple(call.operands[0].shape)
    reduced = {axis % len(shape) for axis in ([axes] if isinstance(axes, int) else axes or ())}
    unit = call.values[0].unit_axis
    shared = unit in reduced and any(axis != unit and shape[axis] > 1 for axis in reduced)
    return (("over_positions", 1.0),) if shared else ()


# -- rules, in order -------------------------------------------------------------------------------------------------


def _learned(call: Call) -> Draft | None:
    """A learned array handed to every example: it enters like an input."""
    if call.name in ("BroadcastTo", "Tile", "Repeat") and all(v.node is None for v in call.values):
        return drafted(call, Operation.INPUT, function="learned")
    return None


def _embedding(call: Call) -> Draft | None:
    """Rows of a weight picked by indices."""
    if call.name != "Take" or call.values[0].node is not None or not call.values[0].derivations:
        return None
    shape = tuple(call.operands[0].shape)
    geometry = matrix(shape) if len(shape) == 2 else None
    return drafted(call, Operation.EMBEDDING, uses=uses_of(call.values[0], "weight"), geometry=geometry)


_PRODUCTS = frozenset({"Matmul", "Dot", "Tensordot", "Inner", "Einsum"})


def _linear(call: Call) -> Draft | None:
    """Matrix products: signal × weight is a layer, signal × signal a ``MATMUL``."""
    if call.name not in _PRODUCTS or len(call.values) != 2:
        return None
    left, right = call.values
    if left.node is not None and right.node is not None:
        return drafted(call, Operation.MATMUL, inputs=_ordered(call), settings=product_settings(call))
    static = int(right.node is None)
    value, weight = call.values[static], call.operands[static]
    if not value.derivations:  # a constant matrix: a fixed mixing
        return drafted(call, Operation.SCALE, function="matrix")
    shape = tuple(weight.shape)
    if call.name == "Einsum":
        equation = call.setting("subscripts", "").replace(" ", "")
        operands, _, result = equation.partition("->")
        signal, kernel = operands.split(",") if static else operands.split(",")[::-1]
        geometry = einsum(f"{signal},{kernel}->{result}", shape)
    elif static or len(shape) == 1:
        geometry = matrix(shape)
    else:
        geometry = _turned(matrix((*shape[:-2], shape[-1], shape[-2])))
    if geometry is not None and value.derivations[0][1].count(DerivationStep.TRANSPOSE) % 2:
        geometry = _turned(geometry)
    return drafted(call, Operation.LINEAR, uses=uses_of(value, "weight"), geometry=geometry)


def _turned(geometry: Geometry) -> Geometry:
    return replace(geometry, layout="in_out" if geometry.layout == "out_in" else "out_in")


def _ordered(call: Call) -> tuple[int, ...]:
    """The two factors of signal × signal: rows of the result first, as in q kᵀ and in softmax(q kᵀ) v."""
    order = (1, 0) if turned_product(call) else (0, 1)
    return tuple(dict.fromkeys(node for i in order if (node := call.values[i].node) is not None))


def _convolution(call: Call) -> Draft | None:
    if call.name not in ("Conv", "ConvTranspose", "DepthwiseConv"):
        return None
    if call.values[1].node is not None:
        return drafted(call, Operation.MATMUL, function="dynamic_convolution")
    if not call.values[1].derivations:
        return drafted(call, Operation.SCALE, function="filter")
    signal, weight = (tuple(operand.shape) for operand in call.operands[:2])
    axis = channel_axis(call.setting("data_format"), len(signal))
    function = ""
    if call.name == "ConvTranspose":
        geometry, function = transposed(weight, call.setting("strides", 1)), "transposed"
    elif call.name == "DepthwiseConv":
        geometry = depthwise(weight)
    else:
        geometry = convolution(weight, signal[axis])
    uses = uses_of(call.values[1], "weight")
    windows = convolution_windows(call)
    return drafted(
        call, Operation.CONVOLUTION, uses=uses, geometry=geometry, function=function, unit_axis=axis, settings=windows
    )


def _normalization(call: Call) -> Draft | None:
    function = table.NORMALIZATIONS.get(call.name)
    if function is None:
        return None
    arguments = {**dict(zip(("x", "gamma", "beta"), call.step.args, strict=False)), **call.step.kwargs}
    named = {"gamma": "scale", "scale": "scale", "beta": "shift", "offset": "shift"}
    slots = {id(arguments[k]): slot for k, slot in named.items() if k in arguments}
    uses = tuple(
        use
        for operand, value in zip(call.operands, call.values, strict=True)
        if value.node is None
        for use in uses_of(value, slots.get(id(operand), "operand"))  # type: ignore[arg-type]
    )
    eps: Settings = (("eps", float(call.setting("epsilon", None) or 1e-5)),)
    shared = () if function == "batch_norm" else _shared(call, function)
    return drafted(call, Operation.NORMALIZATION, uses=uses, function=function, settings=(*eps, *shared))


def _one_hot(call: Call) -> tuple[tuple[str, float], ...]:
    """One of n places is one: what a class number becomes has a second moment of 1/n."""
    return (("other", float(call.output.shape[-1]) ** -0.5),)


def _named(call: Call) -> Draft | None:
    """Activations with a name in gainstage's table."""
    if call.name == "OneHot" and floating(call.output):
        return drafted(call, Operation.SCALE, function="one_hot", settings=_one_hot(call))
    function = table.ACTIVATIONS.get(call.name)
    if isinstance(call.step.operation, Elementwise):
        label = call.step.operation.label
        function = {"hard_silu": "hardswish"}.get(label, label)
    if function is None or not floating(call.output):
        return None
    settings: dict[str, float] = {}
    setting = call.setting
    match function:
        case "relu" if call.name == "ReLU":
            function, settings = _rectifier(
                float(setting("negative_slope", 0.0)), setting("max_value"), float(setting("threshold", 0.0))
            )
        case "leaky_relu":
            settings = {"negative_slope": float(setting("negative_slope", 0.2))}
        case "elu" | "celu":
            settings = {"alpha": float(setting("alpha", 1.0))}
        case "gelu":
            function = "gelu_tanh" if setting("approximate", True) else "gelu"
        case "softshrink" | "hardshrink":
            settings = {"lambd": float(setting("threshold", 0.5))}
        case "threshold":
            settings = {"threshold": float(setting("threshold")), "value": float(setting("default_value"))}
        case "squareplus":
            settings = {"b": float(setting("b", 4.0))}
        case "pow":
            exponent = call.number(1)
            if exponent is None:
                return drafted(call, Operation.UNKNOWN)
            settings = {"exponent": exponent}
    return drafted(call, Operation.ACTIVATION, function=function, settings=tuple(settings.items()))


def _rectifier(slope: float, highest: float | None, threshold: float) -> tuple[str, dict[str, float]]:
    if threshold:
        return ("threshold", {"threshold": threshold, "value": 0.0}) if highest is None and not slope else ("clamp", {})
    if highest is not None:
        if slope:
            return "clamp", {}
        return ("relu6", {}) if float(highest) == 6 else ("hardtanh", {"min_val": 0.0, "max_val": float(highest)})
    return ("leaky_relu", {"negative_slope": slope}) if slope else ("relu", {})


def _loss(call: Call) -> Draft | None:
    kinds = table.LOSSES.get(call.name)
    if kinds is None:
        return None
    return drafted(call, Operation.LOSS, function=kinds[0 if call.setting("from_logits", False) else 1])


def _structural(call: Call) -> Draft | None:
    operation = table.STRUCTURAL.get(call.name)
    if operation is None or not floating(call.output):
        return None
    function = ""
    settings: Settings = ()
    if operation is Operation.SOFTMAX:
        function = "log_softmax" if call.name == "LogSoftmax" else "softmax"
    elif operation is Operation.POOLING:
        function, settings = "max" if "Max" in call.name else "average", pooling_windows(call)
    elif operation is Operation.ATTENTION:
        settings = attention_settings(call)
    elif call.name == "Pad":
        function = "pad" if call.setting("mode", "constant") == "constant" else "pad_edges"
        settings = padding_settings(call)
    elif operation is Operation.REDUCTION:
        name = table.base_name(call.step.operation)
        function = table.REDUCTIONS.get(name, name)
    elif operation is Operation.RESHAPE:
        function = table.REARRANGEMENTS.get(call.name, "")
    elif operation is Operation.RESAMPLE:
        function = table.interpolation(str(call.setting("interpolation", "linear")))
        settings = (("antialias", 1.0),) if call.setting("antialias", False) else ()
    if operation in (Operation.CONCATENATION, Operation.SOFTMAX):
        axis = call.setting("axis", -1)
        if isinstance(axis, int):
            settings = (("axis", float(axis % max(len(call.output.shape), 1))),)
    return drafted(call, operation, function=function, settings=settings)


def _pointwise(call: Call) -> Draft | None:
    """Elementwise operations without a name of their own: sums, products, gates, scalings."""
    signals = signals_of(call)
    if call.name in table.ADDITIVE:
        live = [v for v in signals if v.from_input] or signals
        if len(signals) >= 2:
            return drafted(call, Operation.ADD if len(live) > 1 else Operation.OFFSET, settings=_factors(call))
        return drafted(call, Operation.OFFSET, uses=_static_uses(call, "bias"), settings=_offset(call))
    if call.name in table.MULTIPLICATIVE:
        if len(signals) >= 2:
            return drafted(call, Operation.MULTIPLY, settings=_divides(call))
        if (call.name != "Multiply" and call.values[0].node is None) or (
            call.number(0) is not None and (call.name != "Multiply")
        ):  # a constant over the signal
            return drafted(call, Operation.ACTIVATION, function="reciprocal")
        settings = _factor(call) or _divides(call)
        return drafted(call, Operation.SCALE, uses=_static_uses(call, "scale"), settings=settings)
    if call.name == "Negative":
        return drafted(call, Operation.SCALE, settings=(("other", -1.0),))
    if call.name == "Maximum" and 0.0 in (call.number(0), call.number(1)):
        return drafted(call, Operation.ACTIVATION, function="relu")
    if call.name in table.POINTWISE and len(signals) < 2:
        name = table.base_name(call.step.operation)
        return drafted(call, Operation.ACTIVATION, function=_USUAL.get(name, name))
    return None


def _static_uses(call: Call, slot: Slot) -> tuple[Use, ...]:
    """A vector (or a broadcast one) acts as bias or scale; anything with more axes is an operand of its own kind."""
    uses: tuple[Use, ...] = ()
    for operand, value in zip(call.operands, call.values, strict=True):
        if value.node is None:
            wide = sum(size > 1 for size in operand.shape) > 1
            uses += uses_of(value, "operand" if wide else slot)
    return uses


_USUAL = {"clip": "clamp", "absolute": "abs", "fabs": "abs", "arccos": "acos", "arcsin": "asin", "arctan": "atan"}
"""Keras's names of functions that both backends write in one way."""


def _divides(call: Call) -> Settings:
    return (("divide", 1.0),) if table.MULTIPLICATIVE.get(call.name) == "div" else ()


def _factors(call: Call) -> Settings:
    """The factors of the operands of a sum, as settings of a node: the signal's first where there is only one."""
    if table.ADDITIVE.get(call.name) != "sub":
        return ()
    lone = sum(value.node is not None for value in call.values) == 1
    after = call.number(0) is not None or call.values[0].node is None
    return (("first" if lone and after else "second", -1.0),)


def _offset(call: Call) -> Settings:
    """The same with the number that is added, where it is one."""
    number = call.number(1) if call.number(1) is not None else call.number(0)
    factors = _factors(call)
    if number is None:
        return factors
    signed = number * dict(factors).get("second", 1.0)
    return (*(pair for pair in factors if pair[0] == "first"), ("other", signed))


def _factor(call: Call) -> Settings:
    """The number that a signal is multiplied by."""
    number = call.number(1) if call.number(1) is not None else call.number(0)
    if number is None:
        return ()
    return (("other", 1.0 / number if _divides(call) and number else number),)
