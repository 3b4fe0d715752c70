"""Recognises weights that still hold a framework's default numbers, which nobody chose for the network at hand.

PyTorch draws the weights of its linear and convolutional layers from U(±1/√fan_in), whatever activation follows: a
variance of 1/(3 fan_in), so that a layer of relu hands on a sixth of the second moment that it receives. Recurrent
layers get U(±1/√hidden) for all matrices, the square ones among them, and tables N(0, 1), at which their entries
change √d times as slowly under Adam as weights of 1/√d. Numbers of another distribution were chosen by somebody, or
have been trained, and are not named here.
"""

from __future__ import annotations

import math

from gainstage.graph import Operation, Parameter, Role, SignalGraph
from gainstage.records import Moments, ParameterProfile, Profile

__all__ = ["untouched"]

_INNER = frozenset({Role.HIDDEN, Role.VALUE, Role.DEPTHWISE, Role.BRANCH_END})
_RECURRENT = frozenset({Role.RECURRENT, Role.RECURRENT_INPUT, Role.RECURRENT_BIAS})
_ROUNDING, _MOVED = 1e-5, 1.3
"""Of the bound: what rounding adds to the largest number, and what a short training does."""
_MISSED = 12.0
"""The largest of n uniform numbers stays below the bound by more than 12/n of it once in e¹² draws."""
_SCATTER = 5.0
"""Standard errors of a sample variance."""


def untouched(profile: Profile) -> tuple[str, ...]:
    """Return the paths of tables, hidden and recurrent weights that hold PyTorch's default numbers.

    Training takes a few of these out of their range at once. A model with one such weight is taken to be trained, and
    none of its weights is named. Tables have no such range, so that they are named beside other default numbers alone.
    Nothing is named beside frozen weights: a trained model is at work there, and what is added to it starts small.
    Outputs, queries and keys keep their numbers: their scale is a choice.

    Args:
        profile: of the start, with the extremes of every weight.
    """
    if any(p.role.is_kernel and not p.trainable for p in profile.graph.parameters):
        return ()
    ranged, tables = set[str](), set[str]()
    for parameter in profile.graph.parameters:
        measured = profile.by_path.get(parameter.path)
        if measured is None or not parameter.trainable:
            continue
        if parameter.role is Role.EMBEDDING:
            tables |= {parameter.path} if _is_standard_normal(parameter, measured) else set()
            continue
        bound = _bound(profile.graph, parameter)
        reach = _reach(measured.weight, bound) if bound is not None else None
        if reach is None:
            continue
        if 1 + _ROUNDING < reach < _MOVED:
            return ()
        if 1 - _MISSED / measured.weight.count <= reach <= 1 + _ROUNDING:
            ranged.add(parameter.path)
    named = (ranged | tables if ranged else ranged) - _compared(profile.graph)
    return tuple(p.path for p in profile.graph.parameters if p.path in named and p.role in _DRAWN)


_DRAWN = _INNER | _RECURRENT | {Role.EMBEDDING}


def _compared(graph: SignalGraph) -> frozenset[str]:
    """Return the parameters whose signal chooses rows of a table.

    Its scale goes with that of the rows, which it is compared with.
    """
    pending = [i for node in graph.nodes if node.operation is Operation.EMBEDDING for i in node.inputs]
    before = set[int]()
    while pending:
        index = pending.pop()
        if index not in before:
            before.add(index)
            pending += graph.nodes[index].inputs
    return frozenset(use.parameter for index in before for use in graph.nodes[index].uses)


def _bound(graph: SignalGraph, parameter: Parameter) -> float | None:
    """Return the end of the range that the default draws a parameter from; None for what is no weight."""
    if parameter.role not in _RECURRENT:
        return 1 / math.sqrt(parameter.kernel.fan_in) if parameter.kernel is not None else None
    # All arrays of a recurrent layer get the bound of its hidden units.
    beside = (p for p in graph.parameters if p.role is Role.RECURRENT and set(p.nodes) & set(parameter.nodes))
    return next((1 / math.sqrt(p.kernel.in_) for p in beside if p.kernel is not None), None)


def _reach(weight: Moments, bound: float) -> float | None:
    """Return the largest magnitude over a bound; None where the second moment is not that of even numbers within it."""
    if weight.minimum is None or weight.maximum is None or not weight.finite:
        return None
    if abs(3 * weight.second_moment / bound**2 - 1) > _SCATTER * math.sqrt(0.8 / weight.count):
        return None
    return max(-weight.minimum, weight.maximum) / bound


def _is_standard_normal(table: Parameter, measured: ParameterProfile) -> bool:
    """Report whether the rows of a table hold N(0, 1), one row of padding left out if there is one."""
    weight, rows = measured.weight, max(table.shape[0], 2)
    error = _SCATTER * math.sqrt(2 / weight.count)
    return any(abs(weight.second_moment * share - 1) <= error for share in (1.0, rows / (rows - 1)))
