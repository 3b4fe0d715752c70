"""Backward pass: one rule per operation gives the gradient's second moment at its inputs from that at its output.

As usual in mean field theory, a gradient counts as independent of the signal that it meets. Dependence that matters (a
relu behind max pooling, one tensor on two paths into a sum) is kept as a function of a source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gainstage.graph import Node, Operation
from gainstage.propagation.back.backward_pass import BackwardPass, Gradient, independent, pass_through
from gainstage.propagation.forward_pass import ForwardPass, doubtful
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import PendingGradient
from gainstage.propagation.table import RULES

__all__ = ["BackwardPass", "Gradient", "backward"]


def backward(run: ForwardPass, start: Mapping[int, SecondMoments]) -> BackwardPass:
    """Predict the gradient at every node from the gradient at the outputs.

    Args:
        run: a forward pass.
        start: second moments of the gradient at the model's outputs, by node index.
    """
    back = BackwardPass(run)
    for index, pairs in start.items():
        if index in run.signals:
            back.send(index, PendingGradient(run.signals[index].extent, pairs, run.algebra.number()))
    for node in reversed(run.graph.nodes):
        arrived = back.arrivals(node.index) if node.index in run.signals else []
        if not arrived:
            continue
        if node.operation is Operation.CONCATENATION:
            arrived = [back.with_own_cause(one) for one in arrived]
        flow = independent(back, arrived)
        pairs = back.value(flow)
        back.gradients[node.index] = Gradient(run.signals[node.index].extent, pairs, back.noise(flow), flow.doubt)
        if any(i in run.signals for i in node.inputs):
            if run.signals[node.index].doubt and not flow.doubt:
                doubt = f"its gradient comes back through what is doubtful ({run.signals[node.index].doubt})"
                flow, arrived = replace(flow, doubt=doubt), [replace(one, doubt=doubt) for one in arrived]
            # Only the parts of a concatenated tensor have sources on which gradients can depend.
            for one in arrived if node.operation is Operation.CONCATENATION else (flow,):
                _sent_back(back, node, one)
    return back


def _sent_back(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send a gradient to a node's operands; moments beyond the range of floating-point numbers become a doubt."""
    rule = RULES[node.operation].backward if node.operation in RULES else pass_through
    try:
        with np.errstate(all="ignore"):
            rule(back, node, flow)
    except ArithmeticError:
        doubt = flow.doubt or doubtful(node, "the moments of its gradient are too large for floating-point numbers")
        pass_through(back, node, replace(flow, doubt=doubt))
