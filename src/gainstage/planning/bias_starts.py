"""The start of a bias: one that takes off a mean, or one that moves the place where a unit bends."""

from __future__ import annotations

import math
from dataclasses import replace

from gainstage.graph import Parameter, Role, SignalGraph
from gainstage.planning.assign import constant
from gainstage.planning.context import bias_owner
from gainstage.planning.levels import Levels
from gainstage.planning.mirroring import Mirroring
from gainstage.records import Assignment

__all__ = ["bias_start"]

_FEW = 32
"""Inputs of a unit whose bias, drawn within ±√level/√fan_in, makes a hundredth of its second moment or more."""


def bias_start(graph: SignalGraph, levels: Levels, mirroring: Mirroring, bias: Parameter) -> Assignment | None:
    """Return what a bias gets that is not zero; None where it is to be zero.

    Args:
        graph: the model.
        levels: the level at every place.
        mirroring: the units that stand in mirrored pairs, whose biases stay zero.
        bias: that may be changed.
    """
    return _centring(graph, levels, bias) or _offsets(graph, levels, mirroring, bias)


def _offsets(graph: SignalGraph, levels: Levels, mirroring: Mirroring, bias: Parameter) -> Assignment | None:
    """Biases of units that read a few inputs: without them every unit bends at the origin of the inputs alone."""
    owner = bias_owner(graph, bias)
    if owner is None:
        return None
    node, weight = owner[0], graph.parameter(owner[1])
    if weight.role is not Role.HIDDEN or weight.kernel is None or weight.kernel.fan_in > _FEW:
        return None
    if not levels.reads_input(node.index) or mirroring.mirror(node.index) is not None:
        return None
    level = levels.target(node.index)
    reason = (
        f"U(±{math.sqrt(level / weight.kernel.fan_in):.3g}): with {weight.kernel.fan_in:g} inputs and no biases, "
        "all units would bend at the same place"
    )
    return replace(constant(bias, "uniform_fan_in", reason, weight=weight.path), gain=math.sqrt(level))


def _centring(graph: SignalGraph, levels: Levels, bias: Parameter) -> Assignment | None:
    owner = bias_owner(graph, bias)
    if owner is None:
        return None
    node, weight = owner
    arrival = levels.arriving(node.index)
    if arrival.centred != "bias":
        return None
    reason = f"takes the mean of {arrival.function}, {arrival.mean:.4g}, times the sum of its unit's weights off again"
    return constant(bias, "centre", reason, value=arrival.mean, weight=weight)
