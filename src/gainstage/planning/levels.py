"""The level, a second moment, at every weight: what arrives there and what should leave."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from gainstage.errors import GainstageError
from gainstage.graph import KernelShape, Node, Operation, SignalGraph
from gainstage.planning.branches import Budget, budgets, stream_levels
from gainstage.planning.context import Surroundings, signal_at
from gainstage.planning.dense import TOGETHER, DenseStream, dense_streams
from gainstage.planning.mirroring import UNMIRRORED, Mirroring
from gainstage.propagation.composed import Functions
from gainstage.theory import (
    Activation,
    GaussianMoments,
    OperatingPoint,
    gate_point,
    gaussian_moments,
    odd_part,
    operating_point,
)

__all__ = ["Arrival", "Levels"]

Centring = Literal["bias", "weights"]
Rule = Callable[[Activation, int], OperatingPoint]

_WAVES = frozenset({"sin", "cos"})
_RUN = 3
_LONG_RUN = 12  # weights, from which on isometries train better however wide the layers are
_WIDE = 256  # units, from which on finite width adds nothing to what depth does
_ODD = 1e-6  # a mean below this is that of an odd function, and rounding
_LEAST = 1e-12  # a weight a million times larger than usual would not mend what takes a signal down to this


@dataclass(frozen=True, slots=True)
class Arrival:
    """The signal as a weight meets it.

    Args:
        power: what a unit's sum has to be divided by: the second moment, or the variance where the mean is taken off.
        mean: of the activation's output.
        centred: by what that mean is to be taken off; empty where it stays.
        function: the activation whose output it is; empty when there is none.
        reason: in words.
    """

    power: float
    mean: float
    centred: Centring | Literal[""]
    function: str
    reason: str


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of all weighted nodes of one graph.

    Args:
        around: their surroundings, by index.
        points: the operating point that each one's output should have, where an activation reads it.
        centred: the nodes whose bias, or whose weights, are to take off the mean of what they read.
        functions: what each one reads, as a function of the signal whose level was set before; where that is gated, the
            gate's function.
        values: the function that a gated signal passed before the gate multiplied it, where there is one.
        parts: for what is set beside the signal it comes from, the level that it may have.
        budgets: what the end of a residual branch may bring; the run of weights that leads to it shares that.
        streams: the level behind every residual add.
    """

    around: Mapping[int, Surroundings]
    points: Mapping[int, OperatingPoint]
    centred: Mapping[int, Centring]
    functions: Mapping[int, Activation]
    values: Mapping[int, Activation]
    parts: Mapping[int, Budget]
    budgets: Mapping[int, Budget]
    streams: Mapping[int, float]

    @classmethod
    def of(cls, graph: SignalGraph, around: Mapping[int, Surroundings], mirroring: Mirroring = UNMIRRORED) -> Levels:
        """Choose the operating points: the lowest level that any reader asks for.

        Of units in mirrored pairs the odd part of their activation arrives, which has no mean.

        The end of a residual branch takes off the mean of what it reads: a mean is the same for all examples, and what
        every branch adds of it gathers on the stream. A bias does that, or else weights that sum to zero. A transposed
        convolution with a stride puts other taps on neighbouring places: what all examples share becomes a pattern that
        no bias takes off, so there it is the weights in any case.
        """
        functions = Functions(graph)
        seen: dict[tuple[Activation, int, bool], OperatingPoint | None] = {}
        gates = {place.incoming.through[0] for place in around.values() if place.incoming.gated}
        ends = budgets(graph)

        def point(function: Activation | None, depth: int, *, gate: bool = False) -> OperatingPoint | None:
            if function is None:
                return None
            key = function, depth, gate
            if key not in seen:
                seen[key] = _point(gate_point if gate else operating_point, function, depth)
            return seen[key]

        points: dict[int, OperatingPoint] = {}
        centred: dict[int, Centring] = {}
        patterned = Counter(place.end for index, place in around.items() if _strided(graph.nodes[index]))
        read: dict[int, Activation] = {}
        made, paired = _odd_parts(mirroring)
        for index, place in around.items():
            ways = (way for way in place.outgoing if index not in made and _is_activation(way[-1]))
            asked = [point(functions.of(*way), place.depth, gate=way[-1].index in gates) for way in ways]
            known = [answer for answer in (*asked, point(made.get(index), place.depth)) if answer is not None]
            if known:
                points[index] = min(known, key=lambda answer: answer.level)
            if index in paired:
                read[index] = paired[index]
                continue
            function = functions.of(*(graph.nodes[i] for i in place.incoming.through))
            if function is None or not place.incoming.through:
                continue
            read[index] = function
            if place.incoming.gated or not place.incoming.function:
                continue
            chosen = point(function, place.depth)
            if chosen is None or abs(chosen.mean) <= _ODD:
                continue
            wanted = chosen.centred or index in ends
            strided = _strided(graph.nodes[index]) and _affordable(function, chosen, patterned[place.end])
            if (strided or (wanted and not place.biased)) and _may_sum_to_zero(graph.nodes[index], place):
                centred[index] = "weights"
            elif wanted and place.biased:
                centred[index] = "bias"
        values = {
            index: function
            for index, place in around.items()
            if place.incoming.value
            and (function := functions.of(*(graph.nodes[i] for i in place.incoming.value))) is not None
        }
        levels = cls(around, points, centred, read, values, {}, ends, stream_levels(graph))
        return replace(levels, parts=dict(levels._beside(graph, functions)))

    def _beside(self, graph: SignalGraph, functions: Functions) -> Iterator[tuple[int, Budget]]:
        """What is set beside the signal it comes from brings, all together, its share of the variance of this one."""
        for stream in dense_streams(graph):
            signal = signal_at(graph, stream.start)
            level = self.target(signal.node) if signal.origin == "weight" else self.streams.get(signal.node, 1.0)
            function = functions.of(*(graph.nodes[i] for i in signal.through)) if signal.through else None
            moments = _moments(function, level) if function is not None else None
            level = stream.share * (moments.variance if moments is not None else level)
            for end in stream.ends.values():
                if level < self.target(end):
                    yield end, Budget(level, f"level {level:.3g}: {_beside(stream)}")

    def target(self, index: int) -> float:
        """The level that a node's output should have."""
        if index in self.parts:
            return self.parts[index].level
        point, place = self.points.get(index), self.around[index]
        budget = self.budgets.get(place.end)
        share = budget.level ** (place.position / place.depth) if budget is not None and place.end != index else 1.0
        return (point.level if point else 1.0) * share

    def reason(self, index: int) -> str:
        """Why that level."""
        if index in self.parts:
            return self.parts[index].reason
        point = self.points.get(index)
        level, place = self.target(index), self.around[index]
        told = f"level {level:.3g}" if point is None or place.depth == 1 else point.reason
        if level < (point.level if point else 1.0):
            told += f"; level {level:.3g}, since {place.depth} weights share what the residual branch may bring"
        return told

    def isometry_pays(self, index: int, kernel: KernelShape) -> bool:
        """Whether a node belongs to a plain run that trains better from orthogonal weights than from normal ones.

        In a run factors multiply, and an isometry keeps the gradient together. In a run of one or two weights, between
        normalisations or skips, there is nothing to gain by it; in a short run of wide layers neither, and there the
        draw takes longer than many steps of training (docs/drawing.md has the trainings).
        """
        depth = self.around[index].depth
        return depth >= _LONG_RUN or (depth >= _RUN and min(kernel.in_, kernel.out) < _WIDE)

    def reads_input(self, index: int) -> bool:
        """Whether a node reads the model's input as it is."""
        signal = self.around[index].incoming
        return signal.origin == "input" and not signal.through

    def feeds_waves(self, index: int) -> bool:
        """Whether nothing but sines and cosines reads a node."""
        met = {way[-1].function for way in self.around[index].outgoing}
        return bool(met) and met <= _WAVES

    def arriving(self, index: int) -> Arrival:
        """What a weighted node reads."""
        signal = self.around[index].incoming
        level = self.target(signal.node) if signal.origin == "weight" else self.streams.get(signal.node, 1.0)
        carried = level
        thinned = "" if signal.keep == 1.0 else f" after dropout that keeps {signal.keep:.3g}"
        function = self.functions.get(index)
        if signal.gated:
            level = self.target(signal.gate) if signal.gate is not None else 1.0
        moments = _moments(function, level) if function is not None else None
        if function is None or moments is None:
            source = f"'{signal.function}', taken to keep the level" if signal.function else _SOURCES[signal.origin]
            return Arrival(level / signal.keep, 0.0, "", "", f"reads {source}{thinned}")
        name, mean, second = function.label, moments.mean, moments.second_moment / signal.keep
        if index in self.centred:
            power = second - mean**2
            return Arrival(
                power, mean, self.centred[index], name, f"reads {name}{thinned}, Var[x] = {power:.4g} once centred"
            )
        if signal.gated:
            value = self.values.get(index)
            passed = f"{value.label} times " if value is not None else ""
            second, name = second * _second_moment(value, carried), f"{passed}a gate of {name}"
        return Arrival(second, mean, "", name, f"reads {name}{thinned}, E[x²] = {second:.4g}")


_SOURCES = {
    "input": "the input",
    "normalization": "a normalised signal",
    "weight": "the weight before it",
    "embedding": "rows of unit level",
    "stream": "a residual stream",
    "other": "a signal taken to have unit level",
}


def _odd_parts(mirroring: Mirroring) -> tuple[Mapping[int, Activation], Mapping[int, Activation]]:
    """The odd part of the activation behind every node that makes pairs, and before every node that reads them."""
    made = {i: odd_part(link.function) for i, link in mirroring.links.items() if link.function is not None}
    return made, {index: odd_part(function) for index, function in mirroring.functions.items()}


def _beside(stream: DenseStream) -> str:
    others = f"with {len(stream.parts) - 1} others " if len(stream.parts) > 1 else ""
    return f"it is set beside the signal it comes from, and brings {others}{TOGETHER:g} of what that does"


def _is_activation(node: Node) -> bool:
    return node.operation is Operation.ACTIVATION


def _strided(node: Node) -> bool:
    """Whether other taps meet in neighbouring places of the output."""
    kernel = node.kernel
    return kernel is not None and kernel.overlap is not None and kernel.overlap < kernel.receptive


def _affordable(function: Activation, point: OperatingPoint, count: int) -> bool:
    """Whether so many centred layers in one run let gradients grow by no more than an operating point may."""
    moments = _moments(function, point.level)
    return moments is not None and count * math.log(max(moments.chi_centred, 1.0)) <= math.log(2)


def _may_sum_to_zero(node: Node, place: Surroundings) -> bool:
    """Whether a unit's weights may: there are several of them, and no normalisation behind takes the mean off."""
    met = {way[-1].operation for way in place.outgoing}
    return node.kernel is not None and node.kernel.in_ > node.kernel.groups and met != {Operation.NORMALIZATION}


def _point(rule: Rule, function: Activation, depth: int) -> OperatingPoint | None:
    """The operating point of an activation; None where theory has none (a function that carries nothing)."""
    try:
        return rule(function, depth)
    except GainstageError:
        return None


@lru_cache(maxsize=1024)
def _moments(function: Activation, level: float) -> GaussianMoments | None:
    """What an activation makes of a level; None where that is next to nothing, or next to infinite."""
    try:
        moments = gaussian_moments(function, level)
    except GainstageError:
        return None
    return moments if _LEAST < moments.variance / level < 1 / _LEAST else None


def _second_moment(function: Activation | None, level: float) -> float:
    """What becomes of a level behind a function; the level itself where there is none."""
    moments = _moments(function, level) if function is not None else None
    return level if moments is None else moments.second_moment
