"""Recognises values that were set on purpose, which no draw would restore.

A framework's own start is recognised by its values: biases of zero or within ±1/√fan_in, norms with a scale of one and
a shift of zero. What differs from that was written by somebody. It is kept where it has a meaning at the start of
training: a prior in the bias of an output or of a gate, a branch or an output that starts at zero, a scale or a shift
behind a norm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from gainstage.graph import Parameter, Role, SignalGraph
from gainstage.planning.assign import recurrent_weights
from gainstage.planning.context import bias_owner
from gainstage.records import WeightMoments

__all__ = ["Standing", "free_spread", "meant"]

Standing = Mapping[str, WeightMoments]
"""Moments of the values that stand in a model, by path of the parameter."""

SLOW, QUICK = 5.0, 0.1
"""Times 1/√fan_in: spreads of a weight whose scale is free between which its pace under Adam (a step over the size of
what it changes) differs from that of hidden weights by no more than a decade."""

_ALIKE = 1e-9  # of the second moment: what rounding leaves of the variance of equal numbers
_PRIOR = "left as the model made it: {} holds a prior, since no default draws it (within ±1/√fan_in = ±{:.3g})"
_SILENT = "left at zero, as the model made it: {} starts silent"
_WRITTEN = "left as the model made it: {} is no default, so it was written on purpose"
_GATING = frozenset({Role.HEAD, Role.GATE})


def meant(graph: SignalGraph, parameter: Parameter, standing: Standing) -> str | None:
    """Return why a parameter keeps its values; None where nothing shows that they were meant.

    Args:
        graph: the model.
        parameter: one that may be changed.
        standing: what stands in it and in the others; empty where that is not known.
    """
    values = standing.get(parameter.path)
    if values is None:
        return None
    role = parameter.role
    if role is Role.NORM_SCALE and abs(values.second_moment - 1) + abs(values.mean - 1) > _ALIKE:
        return (
            _SILENT.format("what it scales") if not values.second_moment else _WRITTEN.format("a scale behind a norm")
        )
    if role is Role.NORM_SHIFT and values.second_moment > 0:
        return _WRITTEN.format("a shift behind a norm")
    if role is Role.RECURRENT_BIAS:
        weights = recurrent_weights(graph, parameter)
        return _prior(values, parameter, weights, "a bias of recurrent gates") if weights is not None else None
    if role is Role.BIAS:
        return _bias(graph, parameter, values, standing)
    if role.is_kernel and not values.second_moment:
        if role in {Role.HEAD, Role.BRANCH_END}:
            return _SILENT.format("the output" if role is Role.HEAD else "its residual branch")
        if _starts_at_its_bias(graph, parameter, standing):
            return _SILENT.format("what it adds to its bias")
    return None


def free_spread(parameter: Parameter, standing: Standing) -> float | None:
    """Return the spread that a weight with a free scale keeps; None where it has none worth keeping.

    A normalisation divides the scale out of the signal. It remains in the pace: a step changes a weight of half the
    size twice as much. The learning rate was chosen for the scale that the model was made with.
    """
    values, kernel = standing.get(parameter.path), parameter.kernel
    if values is None or kernel is None:
        return None
    gain = math.sqrt(values.variance * kernel.fan_in)
    return math.sqrt(values.variance) if QUICK <= gain <= SLOW else None


def _bias(graph: SignalGraph, bias: Parameter, values: WeightMoments, standing: Standing) -> str | None:
    owner = bias_owner(graph, bias)
    if owner is None:
        return None
    weight = graph.parameter(owner[1])
    stands = standing.get(weight.path)
    if stands is not None and not stands.second_moment and values.second_moment:
        return _WRITTEN.format("a bias beside weights of zero")
    what = "the bias of an output" if weight.role is Role.HEAD else "the bias of a gate"
    return _prior(values, bias, weight, what) if weight.role in _GATING else None


def _prior(values: WeightMoments, bias: Parameter, weight: Parameter, what: str) -> str | None:
    """Return the reason why a bias is a prior: one value for all units, or larger than a framework draws."""
    if weight.kernel is None or not values.second_moment > 0:
        return None
    bound = 1 / math.sqrt(weight.kernel.fan_in)
    equal = math.prod(bias.shape) > 1 and values.variance <= _ALIKE * values.second_moment
    return _PRIOR.format(what, bound) if equal or values.second_moment > bound**2 else None


def _starts_at_its_bias(graph: SignalGraph, weight: Parameter, standing: Standing) -> bool:
    for other in graph.parameters:
        if other.role is Role.BIAS and (owner := bias_owner(graph, other)) is not None and owner[1] == weight.path:
            values = standing.get(other.path)
            return values is not None and values.second_moment > 0
    return False
