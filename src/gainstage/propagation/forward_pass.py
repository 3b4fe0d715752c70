"""The state of one forward pass: what is known before, and the signals predicted so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gainstage.graph import Node, Operation, SignalGraph
from gainstage.graph.groups import PAIRWISE
from gainstage.propagation.composed import Functions
from gainstage.propagation.second_moments import Extent
from gainstage.propagation.signal import Signal
from gainstage.propagation.signal_algebra import SignalAlgebra
from gainstage.records import InputMoments, WeightMoments

if TYPE_CHECKING:
    from gainstage.propagation.recurrent import Stage

__all__ = ["ForwardPass", "doubtful"]


@dataclass
class ForwardPass:
    """One forward pass through a graph and everything predicted in it.

    Args:
        graph: the model.
        weights: moments of its parameters by path.
        inputs: moments of its inputs in the graph's order; standard normal where missing.
        training: whether dropout is active.
        algebra: sources and atoms of this pass.
        signals: predicted signals by node index.
        recurrences: the layers of every recurrent node by node index.
        examples: size of the batch.
    """

    graph: SignalGraph
    weights: Mapping[str, WeightMoments]
    inputs: tuple[InputMoments, ...] = ()
    training: bool = True
    algebra: SignalAlgebra = field(default_factory=SignalAlgebra)
    signals: dict[int, Signal] = field(default_factory=dict)
    recurrences: dict[int, list[Stage]] = field(default_factory=dict)
    examples: int = 1
    functions: Functions = field(init=False)

    def __post_init__(self) -> None:
        self.functions = Functions(self.graph)
        first = self.graph.nodes[self.graph.inputs[0]] if self.graph.inputs else None
        if first is not None and first.example_axis is not None:
            self.examples = first.shape[first.example_axis]

    def extent(self, node: Node) -> Extent:
        """Return the layout of a node's output."""
        examples = self.examples if node.example_axis is not None else 1
        axis = node.unit_axis if node.unit_axis is not None and node.unit_axis < len(node.shape) else None
        if axis is None and node.operation is not Operation.REDUCTION and len(node.shape) > 1:
            axis = len(node.shape) - 1  # where the unit axis is unknown, units are most often last
        total = math.prod(node.shape)
        units = _units_of_heads(node, total // max(examples, 1)) or (node.shape[axis] if axis is not None else 1)
        return Extent(units, max(total // max(units * examples, 1), 1), examples)

    def placed(self, node: Node, signal: Signal) -> Signal:
        """Return the signal with the layout of a node's output."""
        extent = self.extent(node)
        return signal if signal.extent == extent else replace(signal, extent=extent)


def _units_of_heads(node: Node, inside: int) -> int:
    """Return the number of units of a tensor whose units lie on two axes, heads and head width; 0 where they lie on
    one.

    Args:
        node: a projection, a product of two signals or a fused attention.
        inside: number of elements of one example.
    """
    units = 0
    if node.operation is Operation.LINEAR and node.kernel is not None:
        units = node.kernel.out
    elif node.operation in PAIRWISE and len(node.shape) > 1 and not node.function:
        rows = int(dict(node.settings).get("rows", node.shape[-2]))
        units = inside // max(rows, 1)
    return units if units and inside % units == 0 else 0


def doubtful(node: Node, why: str) -> str:
    """Return a reason for doubt, prefixed by the node's label."""
    return f"{node.label}: {why}"
