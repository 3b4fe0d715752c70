"""Forward pass: one rule per operation gives the moments of its output from those of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from gainstage.graph import Node, Operation
from gainstage.propagation.forward_pass import ForwardPass, doubtful
from gainstage.propagation.signal import Signal
from gainstage.propagation.table import RULES
from gainstage.records import WeightMoments

__all__ = ["forward"]

ForwardRule = Callable[[ForwardPass, Node, list[Signal]], Signal]
Arrived = Callable[[ForwardPass, Node, Signal], Mapping[str, WeightMoments]]
_SOURCES = frozenset({Operation.INPUT, Operation.EMBEDDING})


def forward(run: ForwardPass, *, arrived: Arrived | None = None) -> ForwardPass:
    """Predict the signal at every node in order of execution; the loss is left out.

    Args:
        run: what is known before; predicted signals are added to it.
        arrived: called at every weighted node with its predicted output. The weights that it returns replace the known
            ones, and the node is predicted again.
    """
    run.weights = weights = dict(run.weights)  # the caller's mapping stays unchanged
    for node in run.graph.nodes:
        if node.part_of is not None or node.stage != "model" or node.operation is Operation.LOSS:
            continue
        operands = [run.signals[i] for i in node.inputs if i in run.signals]
        if not operands and node.operation not in _SOURCES:
            continue
        rule = RULES.get(node.operation, RULES[Operation.UNKNOWN]).forward
        signal = _followed(rule, run, node, operands)
        if arrived is not None and node.operation.weighted:
            doubted = replace(signal, doubt=next((s.doubt for s in (signal, *operands) if s.doubt), ""))
            if instead := arrived(run, node, doubted):
                weights.update(instead)
                signal = _followed(rule, run, node, operands)
        doubt = next((s.doubt for s in (signal, *operands) if s.doubt), "")
        if signal.sequence is not None and signal.extent.positions % signal.sequence.places:
            signal = replace(signal, sequence=None)  # positions were removed or merged
        run.signals[node.index] = signal if signal.doubt == doubt else replace(signal, doubt=doubt)
    return run


def _followed(rule: ForwardRule, run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Apply a rule; where moments leave the range of floating-point numbers, pass the level on with a doubt."""
    try:
        with np.errstate(all="ignore"):
            return rule(run, node, operands)
    except ArithmeticError:
        if not operands:
            raise
        x = run.placed(node, run.algebra.new_source(run.algebra.without_parts(operands[0])))
        return replace(x, doubt=doubtful(node, "its moments are too large for floating-point numbers"))
