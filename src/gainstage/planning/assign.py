"""The assignments that do not depend on the recipe: what is kept, and what starts at a constant."""

from __future__ import annotations

import math
from collections.abc import Container

from gainstage import schemes
from gainstage.graph import DerivationStep, Mirror, Parameter, Role, SignalGraph
from gainstage.planning.context import bias_owner
from gainstage.records import Assignment, BiasRule

__all__ = ["DRAWN_TYPES", "FROZEN", "constant", "drawn", "kept", "must_keep", "neutral", "recurrent_weights"]

FROZEN = "frozen: the optimizer will not change it, so it holds what it was given"

DRAWN_TYPES = ("float", "bfloat")
"""Types of values that can be drawn begin so."""

_ADAPTER = "zero: it ends an adapter beside frozen weights, so that the model starts as it was"
_ZERO_BIAS = "zero: the weights alone set the level"


def kept(parameter: Parameter, reason: str) -> Assignment:
    """Left as it is."""
    return Assignment(
        parameter.path, parameter.role, parameter.shape, "keep",
        kernel=parameter.kernel, blocks=parameter.blocks, layout=parameter.layout, reason=reason,
    )  # fmt: skip


def constant(
    parameter: Parameter, rule: BiasRule, reason: str, *, value: float = 0.0, weight: str | None = None
) -> Assignment:
    """Set by a rule instead of being drawn by a scheme."""
    return Assignment(
        parameter.path, parameter.role, parameter.shape, rule,
        blocks=parameter.blocks, layout=parameter.layout, bias=rule, value=value, weight=weight, reason=reason,
    )  # fmt: skip


def drawn(
    parameter: Parameter, scheme: str, reason: str, *, gain: float = 1.0, spread: float | None = None,
    mirror: Mirror | None = None,
) -> Assignment:  # fmt: skip
    """Drawn by a scheme, mirrored or not: with a gain on its own spread, or with the gain that reaches a given one."""
    kernel = parameter.kernel
    if kernel is not None:
        table = schemes.get(scheme)
        table = table if mirror is None else schemes.mirrored(table, mirror)
        if spread is not None:
            own = table.spread(kernel, 1.0)
            gain *= spread / own if own else 1.0
        spread = table.spread(kernel, gain)
    return Assignment(
        parameter.path, parameter.role, parameter.shape, scheme, gain=gain, kernel=kernel,
        blocks=parameter.blocks, layout=parameter.layout, spread=spread, mirror=mirror, reason=reason,
    )  # fmt: skip


def must_keep(parameter: Parameter) -> str | None:
    """Why no recipe may touch a parameter; None when one may."""
    if not parameter.trainable:
        return FROZEN
    if not parameter.dtype.startswith(DRAWN_TYPES):
        return f"{parameter.dtype} values are not drawn"
    if parameter.role is Role.OTHER and not parameter.reached:
        return "no operation that was seen uses it, so what it is for cannot be told"
    if parameter.role is Role.OTHER:
        return (
            "left as the model made it: nothing tells what it is for (a token, a table, an adapter, a scale, or a "
            "weight of an operation that could not be looked into)"
        )
    if parameter.role.is_kernel or parameter.role is Role.EMBEDDING:
        size = parameter.kernel.size * parameter.blocks if parameter.kernel else None
        if size != math.prod(parameter.shape):
            return "its geometry is not that of one matrix or convolution, so its fan is unknown"
    return None


def neutral(graph: SignalGraph, parameter: Parameter, adapters: Container[str] = ()) -> Assignment | None:
    """What a parameter gets that no scheme draws; None for a weight.

    Args:
        graph: the model.
        parameter: one that may be changed.
        adapters: paths of the weights that end an adapter.
    """
    role = parameter.role
    if parameter.path in adapters:
        return drawn(parameter, "zeros", _ADAPTER)
    if role in {Role.NORM_SCALE, Role.NORM_SHIFT} and _shifted(graph, parameter):
        return kept(parameter, "the model adds to it before use, so one is not its neutral value")
    if role is Role.NORM_SCALE:
        return constant(parameter, "one", "one: the normalisation hands on unit level")
    if role is Role.NORM_SHIFT:
        return constant(parameter, "zero", "zero: the normalisation hands on a mean of zero")
    if role is Role.MAGNITUDE:
        if parameter.magnitude_of is None:
            return kept(parameter, "a magnitude whose direction is unknown")
        return Assignment(
            parameter.path, role, parameter.shape, "match_norm", weight=parameter.magnitude_of,
            reason="the norm of its weight as drawn, so that the two together are that weight",
        )  # fmt: skip
    if role is Role.RECURRENT_BIAS:
        return _recurrent_bias(graph, parameter)
    if role is Role.BIAS:
        owner = bias_owner(graph, parameter)
        return constant(parameter, "zero", _ZERO_BIAS, weight=owner[1] if owner else None)
    return None


def _shifted(graph: SignalGraph, parameter: Parameter) -> bool:
    """Whether the model computes with it first (``1 + w``)."""
    names = {parameter.path, *parameter.aliases}
    uses = (use for index in parameter.nodes for use in graph.nodes[index].uses if use.parameter in names)
    return any(not _NEUTRAL_LOST.isdisjoint(use.derivation) for use in uses)


_NEUTRAL_LOST = frozenset(
    {DerivationStep.SUM, DerivationStep.DIFFERENCE, DerivationStep.EXPONENTIAL, DerivationStep.SOFTPLUS}
)


def _recurrent_bias(graph: SignalGraph, parameter: Parameter) -> Assignment:
    """An LSTM's forget gate starts open; where two biases are added, the first one alone says so."""
    owner = recurrent_weights(graph, parameter)
    if owner is None or owner.blocks != 4:
        return constant(parameter, "zero", _ZERO_BIAS, weight=owner.path if owner else None)
    group = _biases_after(graph, owner)
    if group and group[0] == parameter.path:
        reason = "one for the forget gate: the cell keeps what it holds until it learns to forget"
        return constant(parameter, "forget_one", reason, weight=owner.path)
    return constant(parameter, "zero", f"zero: {group[0]} already holds the forget gate's one", weight=owner.path)


def recurrent_weights(graph: SignalGraph, bias: Parameter) -> Parameter | None:
    """The hidden-to-hidden weight that a recurrent bias stands beside: the last one before it."""
    found = None
    for parameter in graph.parameters:
        if parameter.path == bias.path:
            return found
        if parameter.role is Role.RECURRENT and set(parameter.nodes) & set(bias.nodes):
            found = parameter
    return found


def _biases_after(graph: SignalGraph, weight: Parameter) -> list[str]:
    """The biases between one hidden-to-hidden weight and the next weight."""
    paths = [p.path for p in graph.parameters]
    group = []
    for parameter in graph.parameters[paths.index(weight.path) + 1 :]:
        if parameter.role is not Role.RECURRENT_BIAS:
            break
        group.append(parameter.path)
    return group
