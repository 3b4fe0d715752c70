"""Maximal update parametrisation: initial spreads, and how learning rates change with width."""

from __future__ import annotations

from collections.abc import Container
from typing import Literal, get_args

from gainstage.errors import InputError, UnknownNameError
from gainstage.graph import Parameter, Role, SignalGraph
from gainstage.planning.assign import drawn
from gainstage.planning.context import survey, weight_nodes
from gainstage.planning.recipes.recipe import RuleBased
from gainstage.records import Assignment

__all__ = ["RateRule", "mup", "rate_multipliers"]

RateRule = Literal["adam", "sgd"]


def mup(graph: SignalGraph, settable: Container[str]) -> RuleBased:  # noqa: ARG001
    """Maximal update parametrisation (Yang et al., arXiv:2203.03466, table 3): spreads.

    Hidden and input weights 1/√fan_in, the output 1/fan_in, embeddings of unit level, biases zero. The learning rates
    that belong to it are those of ``parameter_groups``.

    Raises:
        InputError: no output layer is reached.
    """
    _width(graph)

    def rule(parameter: Parameter) -> Assignment | None:
        if parameter.kernel is None or not parameter.role.is_kernel:
            return None
        fan = parameter.kernel.fan_in
        if parameter.role is Role.HEAD:
            return drawn(parameter, "normal", "mup: 1/fan_in, so that outputs shrink with width", spread=1 / fan)
        return drawn(parameter, "normal", "mup: 1/√fan_in")

    notes = ["muP is its learning rates too: train with gainstage.parameter_groups(model, x, base_width=…)."]
    if any(p.role in {Role.QUERY, Role.PACKED_ATTENTION} for p in graph.parameters):
        notes.append("muP divides attention scores by the width of a head, not by its root. That is for your code.")
    return RuleBased(graph, rule, "normal", tuple(notes))


def rate_multipliers(graph: SignalGraph, base_width: int, rule: RateRule = "adam") -> dict[str, float]:
    """The factor on every parameter's learning rate, relative to a model of the base width.

    With the ratio r of the model's width (what its output layer reads) to the base width, Adam: 1/r for hidden and
    output weights, 1 for the rest; SGD: 1 for hidden weights, 1/r for the output, r for input weights, embeddings,
    biases and scales (Yang et al., arXiv:2203.03466, table 3).

    Raises:
        InputError: the base width is not positive, or no output layer is reached.
    """
    if rule not in get_args(RateRule):
        raise UnknownNameError("optimizer", rule, get_args(RateRule))
    if base_width < 1:
        raise InputError(f"base_width is a number of units, at least 1; received {base_width}.")
    ratio = _width(graph) / base_width
    around = survey(graph, ())
    factors = {}
    for parameter in graph.parameters:
        nodes = [n for n in weight_nodes(graph, parameter) if n.index in around]
        reads_input = bool(nodes) and all(around[n.index].incoming.origin == "input" for n in nodes)
        if parameter.role is Role.HEAD:
            factor = 1 / ratio
        elif parameter.role.is_kernel and not reads_input:
            factor = 1 / ratio if rule == "adam" else 1.0
        else:
            factor = 1.0 if rule == "adam" else ratio
        factors[parameter.path] = factor
    return factors


def _width(graph: SignalGraph) -> float:
    """What the output layer reads."""
    for parameter in graph.parameters:
        if parameter.role is Role.HEAD and parameter.kernel is not None:
            return parameter.kernel.fan_in
    raise InputError("muP needs to see the output layer, and no weight of this model was told to be it. Pass a batch.")
