"""The level, a second moment, at every weight: what arrives there and what should leave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gainstage.errors import GainstageError
from gainstage.graph import Node, Operation
from gainstage.planning.context import Surroundings
from gainstage.theory import Activation, OperatingPoint, activation, gaussian_moments, operating_point

__all__ = ["Arrival", "Levels"]


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
    """

    around: Mapping[int, Surroundings]
    points: Mapping[int, OperatingPoint]

    @classmethod
    def of(cls, around: Mapping[int, Surroundings]) -> Levels:
        """Choose the operating points: the lowest level that any reader asks for."""
        points: dict[int, OperatingPoint] = {}
        for index, place in around.items():
            asked = [operating_point(f, place.depth) for f in map(_known, place.outgoing) if f is not None]
            if asked:
                points[index] = min(asked, key=lambda point: point.level)
        return cls(around, points)

    def target(self, index: int) -> float:
        """The level that a node's output should have."""
        point = self.points.get(index)
        return point.level if point else 1.0

    def reason(self, index: int) -> str:
        """Why that level."""
        point = self.points.get(index)
        return f"level {point.level:.3g}: {point.reason}" if point else "level 1"

    def saturating(self, index: int) -> bool:
        """Whether a node stands between bounded activations, where an isometry keeps the gradient together."""
        place = self.around[index]
        before = _find(place.incoming.function, place.incoming.settings)
        after = [f for f in map(_known, place.outgoing) if f is not None]
        return before is not None and _bounded(before) and any(map(_bounded, after))

    def arriving(self, index: int) -> Arrival:
        """What a weighted node reads."""
        place = self.around[index]
        signal = place.incoming
        level = self.target(signal.node) if signal.origin == "weight" else 1.0
        thinned = "" if signal.keep == 1.0 else f" after dropout that keeps {signal.keep:.3g}"
        function = _find(signal.function, signal.settings)
        if function is None:
            source = f"'{signal.function}', taken to keep the level" if signal.function else _SOURCES[signal.origin]
            return Arrival(level / signal.keep, 0.0, False, "", f"reads {source}{thinned}")
        name, moments = function.name, gaussian_moments(function, level)
        second = moments.second_moment / signal.keep
        if place.biased and not signal.gated and operating_point(function, place.depth).centred:
            power = second - moments.mean**2
            return Arrival(power, moments.mean, True, name, f"reads {name}{thinned}, Var[x] = {power:.4g} once centred")
        gate = "a gate of " if signal.gated else ""
        return Arrival(second, moments.mean, False, name, f"reads {gate}{name}{thinned}, E[x²] = {second:.4g}")


_SOURCES = {
    "input": "the input",
    "normalization": "a normalised signal",
    "weight": "the weight before it",
    "embedding": "rows of unit level",
    "stream": "a residual stream",
    "other": "a signal taken to have unit level",
}


def _known(reader: Node) -> Activation | None:
    return _find(reader.function, reader.settings) if reader.operation is Operation.ACTIVATION else None


def _find(function: str, settings: tuple[tuple[str, float], ...]) -> Activation | None:
    """The activation of that name; None where theory does not know it."""
    if not function:
        return None
    try:
        return activation(function, **dict(settings))
    except GainstageError:
        return None


def _bounded(function: Activation) -> bool:
    return all(map(math.isfinite, function.bounds))
