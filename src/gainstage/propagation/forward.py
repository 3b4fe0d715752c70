"""Forward pass: one rule per operation gives the moments of its output from those of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from gainstage.graph import Node, Operation
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.signal import Signal
from gainstage.propagation.table import RULES
from gainstage.records import WeightMoments

__all__ = ["forward"]

Arrived = Callable[[ForwardPass, Node, Signal], Mapping[str, WeightMoments]]
_SOURCES = frozenset({Operation.INPUT, Operation.EMBEDDING})


def forward(run: ForwardPass, *, arrived: Arrived | None = None) -> ForwardPass:
    """Predict the signal at every node in order of execution; the loss is left out.

    Args:
        run: what is known before; predicted signals are added to it.
        arrived: called at every weighted node with its predicted output. The weights that it returns replace the known
            ones, and the node is predicted again.
    """
    run.weights = weights = dict(run.weights)  # the caller's own stay as they are
    for node in run.graph.nodes:
        if node.part_of is not None or node.stage != "model" or node.operation is Operation.LOSS:
            continue
        operands = [run.signals[i] for i in node.inputs if i in run.signals]
        if not operands and node.operation not in _SOURCES:
            continue
        rule = RULES.get(node.operation, RULES[Operation.UNKNOWN]).forward
        signal = rule(run, node, operands)
        if arrived is not None and node.operation.weighted:
            told = replace(signal, doubt=next((s.doubt for s in (signal, *operands) if s.doubt), ""))
            if instead := arrived(run, node, told):
                weights.update(instead)
                signal = rule(run, node, operands)
        doubt = next((s.doubt for s in (signal, *operands) if s.doubt), "")
        if signal.sequence is not None and signal.extent.positions % signal.sequence.places:
            signal = replace(signal, sequence=None)  # places were left out or put together
        run.signals[node.index] = signal if signal.doubt == doubt else replace(signal, doubt=doubt)
    return run
