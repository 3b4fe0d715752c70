"""What works element by element: activations with a name, sums, products, gates, scalings."""

from __future__ import annotations

from gainstage.backends.torch.tracing import operations as table
from gainstage.backends.torch.tracing.call import Call, Draft, draft_of, signals_of, uses_of
from gainstage.graph import Operation, Slot, Use

__all__ = ["activation", "masking", "pointwise"]


def activation(call: Call) -> Draft | None:
    """Activations with a name in gainstage's table."""
    function = table.ACTIVATIONS.get(call.name)
    if function is None or not call.output.is_floating_point():
        return None
    uses = tuple(use for v in call.values[1:] if v.node is None for use in uses_of(v, "operand"))
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
            return draft_of(call, Operation.UNKNOWN)
        settings = (("exponent", float(exponent)),)
    return draft_of(call, Operation.ACTIVATION, uses=uses, function=function, settings=settings)


Settings = tuple[tuple[str, float], ...]

_ADDITIVE = frozenset({"add", "sub", "rsub", "addcmul", "addcdiv", "lerp", "_foreach_add"})
_MULTIPLICATIVE = frozenset({"mul", "div", "addcmul", "true_divide"})


def pointwise(call: Call) -> Draft | None:
    """Elementwise operations without a name of their own: sums, products, gates, scalings."""
    if not table.is_pointwise(call.func) and call.name not in _ADDITIVE:  # PyTorch has no such tag for rsub
        return None
    signals = signals_of(call)
    live = [v for v in signals if v.from_input] or signals
    statics = [v for v in call.values if v.node is None]
    if len(signals) >= 2 and call.name in _ADDITIVE | _MULTIPLICATIVE:
        if call.name in _ADDITIVE:
            return draft_of(call, Operation.ADD if len(live) > 1 else Operation.OFFSET, settings=_factors(call))
        return draft_of(call, Operation.MULTIPLY if len(live) > 1 else Operation.SCALE, settings=_divides(call))
    if len(signals) >= 2:
        return draft_of(call, Operation.UNKNOWN)
    if call.name in _MULTIPLICATIVE and any(v.random for v in statics):
        keep = next((v.keep for v in statics if v.keep is not None), None)
        return draft_of(call, Operation.DROPOUT, settings=() if keep is None else (("p", 1 - keep),))
    if call.name in _ADDITIVE:
        uses, settings = _static_uses(call, "bias"), _offset(call)
        return draft_of(call, Operation.OFFSET, uses=uses, function=masking(call), settings=settings)
    if call.name in _MULTIPLICATIVE and not _divides_by_signal(call):
        wave = next((v.wave for v in statics if v.wave), "")
        uses, settings = _static_uses(call, "scale"), _factor(call) or _divides(call)
        return draft_of(call, Operation.SCALE, uses=uses, function=wave, settings=settings)
    if call.name in ("neg", "conj_physical", "real", "imag"):
        return draft_of(call, Operation.SCALE, settings=(("other", -1.0),) if call.name == "neg" else ())
    if call.name in ("clamp", "clamp_min", "clamp_max"):
        bounds = (("min_val", call.argument("min")), ("max_val", call.argument("max")))
        function = _clamp(call)
        known = tuple((name, float(v)) for name, v in bounds if isinstance(v, (int, float)))
        return draft_of(call, Operation.ACTIVATION, function=function, settings=known if function == "clamp" else ())
    return draft_of(call, Operation.ACTIVATION, function="quotient" if _divides(call) else call.name)


def masking(call: Call) -> str:
    """``padding`` where what hides parts of a signal says which tokens there are, and nothing of their order;
    ``causal`` where one comparison of places with places made it.
    """
    masks = [value for value in call.values if value.discrete]
    if masks and all(mask.padding for mask in masks):
        return "padding"
    return "causal" if not masks and sum(v.orders for v in call.values if v.node is None) == 1 else ""


def _clamp(call: Call) -> str:
    """``clamp(min=0)`` is a rectifier by another name."""
    low = call.argument("min")
    high = call.argument("max") if call.name == "clamp" else None
    return "relu" if low == 0 and high is None and call.name != "clamp_max" else "clamp"


def _divides_by_signal(call: Call) -> bool:
    return call.name in _DIVISIONS and call.values[0].node is None


_DIVISIONS = ("div", "true_divide")


def _divides(call: Call) -> Settings:
    return (("divide", 1.0),) if call.name in _DIVISIONS else ()


def _terms(call: Call) -> tuple[float, float] | None:
    """The factors of the first and the second argument of a sum; None where a tensor says how both are blended."""
    alpha = call.number("alpha", 1.0)
    match call.name:
        case "sub":
            return 1.0, -alpha
        case "rsub":
            return -alpha, 1.0
        case "lerp":
            weight = call.argument("weight")
            return (1.0 - weight, weight) if isinstance(weight, (int, float)) else None
    return 1.0, alpha


def _factors(call: Call) -> Settings:
    """The factors of the operands of a sum, as settings of a node: the signal's first where there is only one."""
    terms = _terms(call)
    if terms is None:
        return (("blended", 1.0),)
    if sum(value.node is not None for value in call.values) == 1 and call.values[0].node is None:
        terms = terms[::-1]
    return tuple((name, float(v)) for name, v in zip(("first", "second"), terms, strict=True) if v != 1)


def _offset(call: Call) -> Settings:
    """The same with the number that is added, where it is one."""
    value, factors = call.argument("other"), _factors(call)
    if not isinstance(value, (int, float)):
        return factors
    number = float(value) * dict(factors).get("second", 1.0)
    return (*(pair for pair in factors if pair[0] == "first"), ("other", number))


def _factor(call: Call) -> Settings:
    """The number that a signal is multiplied by."""
    value = call.argument("other")
    if not isinstance(value, (int, float)):
        return ()
    number = float(value)
    return (("other", 1.0 / number if call.name in _DIVISIONS and number else number),)


def _static_uses(call: Call, slot: Slot) -> tuple[Use, ...]:
    """A vector (or a broadcast one) acts as bias or scale; anything with more axes is an operand of its own kind."""
    uses: tuple[Use, ...] = ()
    for tensor, value in call.pairs():
        if value.node is None:
            wide = sum(size > 1 for size in tensor.shape) > 1
            uses += uses_of(value, "operand" if wide else slot)
    return uses
