"""One pass through a graph, as state: what is known before, and what was found so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gainstage.graph import Node, SignalGraph
from gainstage.records import WeightMoments
from gainstage.theory.composed import Functions
from gainstage.theory.propagation.ledger import Ledger
from gainstage.theory.propagation.pairs import Extent
from gainstage.theory.propagation.signal import Signal

__all__ = ["InputMoments", "Run", "doubtful"]


@dataclass(frozen=True, slots=True)
class InputMoments:
    """What is known of one input.

    Args:
        mean: of all elements.
        second_moment: of all elements.
        units: E x·y of two units (channels, columns) of one example.
        positions: E x·y of two positions of one unit.
        examples: E x·y of two examples.

    The default is independent standard normal values.
    """

    mean: float = 0.0
    second_moment: float = 1.0
    units: float = 0.0
    positions: float = 0.0
    examples: float = 0.0


@dataclass
class Run:
    """One pass through a graph, and all that it found.

    Args:
        graph: the model.
        weights: what is known of its parameters, by path.
        inputs: what is known of its inputs, in the graph's order; standard normal where nothing is.
        training: whether dropout drops.
    """

    graph: SignalGraph
    weights: Mapping[str, WeightMoments]
    inputs: tuple[InputMoments, ...] = ()
    training: bool = True
    ledger: Ledger = field(default_factory=Ledger)
    signals: dict[int, Signal] = field(default_factory=dict)
    examples: int = 1
    functions: Functions = field(init=False)

    def __post_init__(self) -> None:
        self.functions = Functions(self.graph)
        first = self.graph.nodes[self.graph.inputs[0]] if self.graph.inputs else None
        if first is not None and first.example_axis is not None:
            self.examples = first.shape[first.example_axis]

    def extent(self, node: Node) -> Extent:
        """How a node's output is laid out."""
        examples = self.examples if node.example_axis is not None else 1
        axis = node.unit_axis if node.unit_axis is not None and node.unit_axis < len(node.shape) else None
        units = node.shape[axis] if axis is not None else 1
        total = math.prod(node.shape)
        return Extent(units, max(total // max(units * examples, 1), 1), examples)

    def placed(self, node: Node, signal: Signal) -> Signal:
        """A signal with the layout of a node's output."""
        extent = self.extent(node)
        return signal if signal.extent == extent else replace(signal, extent=extent)


def doubtful(node: Node, why: str) -> str:
    """A doubt with its place."""
    return f"{node.label}: {why}"
