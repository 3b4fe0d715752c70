"""The level, a second moment, at every weight: what arrives there and what should leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gainstage.errors import GainstageError
from gainstage.graph import Node, Operation
from gainstage.planning.context import Surroundings
from gainstage.theory import (
    Activation,
    GaussianMoments,
    OperatingPoint,
    activation,
    gaussian_moments,
    operating_point,
)

__all__ = ["Arrival", "Levels"]

Settings = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Arrival:
    """The signal as a weight meets it.

    Args:
        power: what a unit's sum has to be divided by: the second moment, or the variance where a bias takes the mean
            off.
        mean: of the activation's output.
        centred: whether the bias is to take that mean off.
        function: the activation whose output it is; empty when there is none.
        reason: in words.
    """

    power: float
    mean: float
    centred: bool
    function: str
    reason: str


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of all weighted nodes of one graph.

    Args:
        around: their surroundings, by index.
        points: the operating point that each one's output should have, where an activation reads it.
        centred: the nodes whose bias is to take off the mean of what they read.
    """

    around: Mapping[int, Surroundings]
    points: Mapping[int, OperatingPoint]
    centred: frozenset[int]

    @classmethod
    def of(cls, around: Mapping[int, Surroundings]) -> Levels:
        """Choose the operating points: the lowest level that any reader asks for."""
        seen: dict[tuple[str, Settings, int], OperatingPoint | None] = {}

        def point(function: str, settings: Settings, depth: int) -> OperatingPoint | None:
            key = function, settings, depth
            if key not in seen:
                seen[key] = _point(function, settings, depth)
            return seen[key]

        points: dict[int, OperatingPoint] = {}
        centred: set[int] = set()
        for index, place in around.items():
            asked = [point(n.function, n.settings, place.depth) for n in place.outgoing if _is_activation(n)]
            known = [answer for answer in asked if answer is not None]
            if known:
                points[index] = min(known, key=lambda answer: answer.level)
            signal = place.incoming
            if place.biased and not signal.gated:
                read = point(signal.function, signal.settings, place.depth)
                if read is not None and read.centred:
                    centred.add(index)
        return cls(around, points, frozenset(centred))

    def target(self, index: int) -> float:
        """The level that a node's output should have."""
        point = self.points.get(index)
        return point.level if point else 1.0

    def reason(self, index: int) -> str:
        """Why that level."""
        point = self.points.get(index)
        if point is None or self.around[index].depth == 1:
            return f"level {self.target(index):.3g}"
        return point.reason

    def saturating(self, index: int) -> bool:
        """Whether a node stands between bounded activations, where an isometry keeps the gradient together."""
        place = self.around[index]
        before = _find(place.incoming.function, place.incoming.settings)
        after = [_find(node.function, node.settings) for node in place.outgoing if _is_activation(node)]
        return before is not None and before.bounded and any(f is not None and f.bounded for f in after)

    def arriving(self, index: int) -> Arrival:
        """What a weighted node reads."""
        signal = self.around[index].incoming
        level = self.target(signal.node) if signal.origin == "weight" else 1.0
        thinned = "" if signal.keep == 1.0 else f" after dropout that keeps {signal.keep:.3g}"
        function = _find(signal.function, signal.settings)
        moments = _moments(function, level) if function is not None else None
        if function is None or moments is None:
            source = f"'{signal.function}', taken to keep the level" if signal.function else _SOURCES[signal.origin]
            return Arrival(level / signal.keep, 0.0, False, "", f"reads {source}{thinned}")
        name, mean, second = function.label, moments.mean, moments.second_moment / signal.keep
        if index in self.centred:
            power = second - mean**2
            return Arrival(power, mean, True, name, f"reads {name}{thinned}, Var[x] = {power:.4g} once centred")
        gate = "a gate of " if signal.gated else ""
        return Arrival(second, mean, False, name, f"reads {gate}{name}{thinned}, E[x²] = {second:.4g}")


_SOURCES = {
    "input": "the input",
    "normalization": "a normalised signal",
    "weight": "the weight before it",
    "embedding": "rows of unit level",
    "stream": "a residual stream",
    "other": "a signal taken to have unit level",
}


def _is_activation(node: Node) -> bool:
    return node.operation is Operation.ACTIVATION


def _find(function: str, settings: Settings) -> Activation | None:
    """The activation of that name; None where theory does not know it."""
    if not function:
        return None
    try:
        return activation(function, dict(settings))
    except GainstageError:
        return None


def _point(function: str, settings: Settings, depth: int) -> OperatingPoint | None:
    """The operating point of an activation; None where theory has none (a function that carries nothing)."""
    found = _find(function, settings)
    try:
        return None if found is None else operating_point(found, depth)
    except GainstageError:
        return None


def _moments(function: Activation, level: float) -> GaussianMoments | None:
    """What an activation makes of a level; None where that is nothing, or infinite."""
    try:
        moments = gaussian_moments(function, level)
    except GainstageError:
        return None
    return moments if moments.variance > 0 else None
