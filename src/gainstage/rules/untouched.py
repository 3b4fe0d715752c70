"""Recognises tables that still hold a framework's default numbers, which nobody chose for the network at hand.

PyTorch draws tables from N(0, 1). A row is looked up, and nothing is summed. Under Adam an entry of size one takes √d
times as many steps to change as a hidden weight of 1/√d. Rows that a residual stream carries have another task too:
their size sets how much of the stream its branches make, so that these tables stay.
"""

from __future__ import annotations

import math

from gainstage.graph import Node, Operation, Parameter, Role, SignalGraph, nearest_after, residuals
from gainstage.records import Moments, ParameterProfile, Profile

__all__ = ["untouched_tables"]

_ROUNDING, _MOVED = 1e-5, 1.3
"""Of the bound: what rounding adds to the largest number, and what a short training does."""
_MISSED = 12.0
"""The largest of n uniform numbers stays below the bound by more than 12/n of it once in e¹² draws."""
_SCATTER = 5.0
"""Standard errors of a sample variance."""


def untouched_tables(profile: Profile) -> tuple[str, ...]:
    """Return the paths of tables that hold N(0, 1) in a model that nobody has trained.

    Normal numbers do not show whether they have been trained. Those of linear, convolutional and recurrent layers do:
    PyTorch draws them from U(±1/√fan_in) or U(±1/√hidden), and training takes a few of them out of that range at once.
    So a table is named only beside a weight that fills its range, in a model where none has left it. Beside frozen
    weights no table is named, nor where a computed signal chooses its rows, which it is compared with, nor where a
    residual stream carries its rows.

    Args:
        profile: of the start, with the extremes of every weight.
    """
    if any(p.role.is_kernel and not p.trainable for p in profile.graph.parameters) or not _is_fresh(profile):
        return ()
    bound = _compared(profile.graph) | _carried(profile.graph)
    return tuple(
        p.path
        for p in profile.graph.parameters
        if p.role is Role.EMBEDDING and p.trainable and p.path not in bound
        and p.path in profile.by_path and _is_standard_normal(p, profile.by_path[p.path])
    )  # fmt: skip


def _is_fresh(profile: Profile) -> bool:
    """Report whether some weight fills the range of PyTorch's default, and none has left it."""
    fills = False
    for parameter in profile.graph.parameters:
        measured, bound = profile.by_path.get(parameter.path), _bound(profile.graph, parameter)
        reach = _reach(measured.weight, bound) if measured is not None and bound is not None else None
        if reach is not None and 1 + _ROUNDING < reach < _MOVED:
            return False
        fills |= measured is not None and reach is not None and 1 - _MISSED / measured.weight.count <= reach < _MOVED
    return fills


def _bound(graph: SignalGraph, parameter: Parameter) -> float | None:
    """Return the end of the range that the default draws a weight from; None for what has no such range."""
    if parameter.kernel is None or parameter.role is Role.EMBEDDING:
        return None
    if parameter.role not in (Role.RECURRENT, Role.RECURRENT_INPUT):
        return 1 / math.sqrt(parameter.kernel.fan_in)
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


def _carried(graph: SignalGraph) -> frozenset[str]:
    """Return the tables whose rows a residual stream carries."""
    adds = {found.add for found in residuals(graph)}
    rows = (n for n in graph.nodes if n.operation is Operation.EMBEDDING)
    met = (n for n in rows if nearest_after(graph, n.index, lambda at: at.index in adds, through=_passes_on))
    return frozenset(use.parameter for node in met for use in node.uses)


def _passes_on(node: Node) -> bool:
    return not node.operation.weighted and node.operation is not Operation.NORMALIZATION


def _compared(graph: SignalGraph) -> frozenset[str]:
    """Return the tables whose rows a computed signal chooses."""
    computed = set[int]()
    for node in graph.nodes:
        makes = node.operation.weighted and node.operation is not Operation.EMBEDDING
        if makes or computed.intersection(node.inputs):
            computed.add(node.index)
    chosen = (n for n in graph.nodes if n.operation is Operation.EMBEDDING and computed.intersection(n.inputs))
    return frozenset(use.parameter for node in chosen for use in node.uses)
