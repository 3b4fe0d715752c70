"""The plan, walked through once in theory: every weight set so that its predicted output is at its level.

The recipe takes what stands before a weight for the last function alone. This pass carries the moments of the whole
signal along, through borders and pooling, attention and skips, as prediction does, and rescales each planned spread
as it reaches it, together with the signal, so that everything downstream sees the corrected one. It is what calibration
does with a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gainstage.graph import Node, SignalGraph
from gainstage.graph.groups import MIXING
from gainstage.propagation import ForwardPass, Signal, forward, leaves_values, planned
from gainstage.propagation.composed import Functions, is_scalar
from gainstage.records import Assignment, InputMoments, Plan, WeightMoments

__all__ = ["settled"]

_SAME = 0.005  # of a spread: less than one draw of any weight scatters by
_TOO_FAR = 1e3  # a factor beyond this says that the prediction lost the signal, not that the weight is badly planned


def settled(graph: SignalGraph, plan: Plan, present: Mapping[str, WeightMoments] | None = None) -> Plan:
    """Rescale the spreads of a plan so that the predicted output of every weight is at its level.

    A weight that is used again was set by its first use. Where prediction rests on an assumption (a mask whose values
    it does not know, an operation without a rule, which is taken to keep the level) the reason says so; where nothing
    arrives, or the weight is changed before it is used, the spread stays as the recipe chose it.

    Args:
        graph: the model.
        plan: whose assignments carry the level of the output they aim at.
        present: what is known of the values of parameters that the plan keeps.

    >>> from gainstage.graph import KernelShape, Node, Operation, Parameter, Role, SignalGraph, Use
    >>> nodes = (
    ...     Node(0, Operation.INPUT, "input", (), (32, 64), example_axis=0, unit_axis=1),
    ...     Node(1, Operation.LINEAR, "linear", (0,), (32, 128), uses=(Use("w", "weight"),),
    ...          kernel=KernelShape(128, 64), example_axis=0, unit_axis=1),
    ... )
    >>> net = SignalGraph(nodes, (Parameter("w", (128, 64), "float32", nodes=(1,)),), (0,), (1,))
    >>> line = Assignment("w", Role.HIDDEN, (128, 64), "normal", 2.0, KernelShape(128, 64), spread=0.25, level=1.0)
    >>> settled(net, Plan((line,))).assignments[0].spread
    0.125
    """
    lines = {a.parameter: a for a in plan}
    if all(a.level is None for a in plan):
        return plan
    walk = _Walk(graph, lines)
    forward(ForwardPass(graph, planned(graph, plan, present), _before_preprocessing(graph)), arrived=walk.reach)
    return replace(plan, assignments=tuple(walk.result(a) for a in plan))


def _before_preprocessing(graph: SignalGraph) -> tuple[InputMoments, ...]:
    """Of inputs that are standard normal once the model's own constants have done their work (pixels through 255)."""
    functions, found = Functions(graph), []
    for index in graph.inputs:
        way: list[Node] = []
        here = index
        while len(graph.consumers[here]) == 1 and is_scalar(graph.nodes[graph.consumers[here][0]]):
            here = graph.consumers[here][0]
            way.append(graph.nodes[here])
        function = functions.of(*way) if way else None
        low, high = (float(v) for v in function.function(np.array([0.0, 1.0]))) if function is not None else (0.0, 1.0)
        scale = high - low
        if function is None or not scale or not math.isfinite(scale):
            found.append(InputMoments())
            continue
        mean = -low / scale
        found.append(InputMoments(mean, mean**2 + scale**-2, mean**2, mean**2, mean**2))
    return tuple(found)


class _Walk:
    """What one walk has found so far."""

    def __init__(self, graph: SignalGraph, lines: Mapping[str, Assignment]) -> None:
        self.graph, self.lines = graph, lines
        self.centres = {a.weight: a for a in lines.values() if a.bias == "centre" and a.weight}
        self.factors: dict[str, float] = {}
        self.means: dict[str, float] = {}
        self.left: dict[str, str] = {}
        self.doubts: dict[str, str] = {}
        self.read: dict[str, str] = {}

    def reach(self, run: ForwardPass, node: Node, signal: Signal) -> Mapping[str, WeightMoments]:
        """What the weights of a node are to hold instead, so that its output is at the level."""
        line = self._adjustable(node)
        self.read.update({self.graph.parameter(use.parameter).path: node.label for use in node.uses_of("weight")})
        if line is None or line.level is None:
            return {}
        path = line.parameter
        known = run.weights[path]
        centre = self.centres.get(path)
        incoming = run.signals[node.inputs[0]].mean if node.inputs and node.inputs[0] in run.signals else 0.0
        level = self._level(run, node, signal, line, incoming)
        factor = math.sqrt(line.level / level) if 0 < level < math.inf else math.inf
        if not 1 / _TOO_FAR < factor < _TOO_FAR:
            self.left[path] = f"prediction has a level of {level:.3g} arrive here"
            return {}
        self.factors[path] = factor
        if signal.doubt:
            self.doubts[path] = signal.doubt
        changed = {path: replace(known, second_moment=known.second_moment * factor**2)}
        if centre is not None:
            self.means[centre.parameter] = incoming
            changed[centre.parameter] = _centring(line, incoming, changed[path])
        return changed

    def _adjustable(self, node: Node) -> Assignment | None:
        """The weight to rescale; None, with the reason noted, where there is none."""
        if node.operation not in MIXING:
            return None
        uses = node.uses_of("weight")
        paths = [self.graph.parameter(use.parameter).path for use in uses]
        if len(paths) != 1 or paths[0] not in self.lines or self.lines[paths[0]].level is None:
            return None
        line = self.lines[paths[0]]
        if paths[0] in self.factors or paths[0] in self.left:
            return None
        told = ""
        if paths[0] in self.read:
            told = f"{self.read[paths[0]]} reads it first"
        elif not leaves_values(uses[0]):
            told = f"it is changed ({', '.join(uses[0].changes)}) before it is used"
        if told:
            self.left[line.parameter] = told
            return None
        return line

    def _level(self, run: ForwardPass, node: Node, signal: Signal, line: Assignment, incoming: float) -> float:
        """Of the output, as calibration measures it: without its bias, or the mean that a bias will take off."""
        level = signal.pairs.level
        for use in node.uses_of("bias"):
            bias = run.weights.get(self.graph.parameter(use.parameter).path)
            if bias is not None:
                level -= bias.second_moment + 2 * incoming * (bias.row_sum_product or 0.0)
        if line.parameter in self.centres:
            level -= _centring(line, incoming, run.weights[line.parameter]).second_moment
        return level

    def result(self, line: Assignment) -> Assignment:
        """What became of one assignment."""
        path = line.parameter
        if path in self.means:
            told = line.reason.replace(f"{line.value:.4g}", f"{self.means[path]:.4g}", 1)
            return replace(line, value=self.means[path], reason=told)
        if path in self.left:
            return replace(line, reason=f"{line.reason}; kept at that: {self.left[path]}")
        factor, told = self.factors.get(path, 1.0), line.reason
        if line.spread is None:
            return line
        spread = line.spread * factor
        if abs(factor - 1) > _SAME and line.kernel is not None and line.level is not None:
            power = line.level / (line.kernel.fan_in * spread**2)
            told += f"; counting borders, pooling, averages and sums, E[x²] = {power:.4g} arrives"
        if path in self.doubts:
            told += f"; assumed: {self.doubts[path]}"
        return replace(line, gain=line.gain * factor, spread=spread, reason=told)


def _centring(line: Assignment, mean: float, weight: WeightMoments) -> WeightMoments:
    """The bias that takes a mean off, times the sum of its unit's weights."""
    rows = (line.kernel.fan_in if line.kernel is not None else 1.0) * weight.second_moment
    return WeightMoments(0.0, mean**2 * rows, row_sum_product=-mean * rows)
