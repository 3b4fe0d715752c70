"""Backward pass: one rule per operation gives the gradient's second moment at its inputs from that at its output.

As usual in mean field theory, a gradient counts as independent of the signal that it meets. Dependence that matters (a
relu behind max pooling, one tensor on two paths into a sum) is kept as a function of a source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from gainstage.graph import Node, Operation
from gainstage.propagation.back import attention, elementwise, normalization, places, weighted
from gainstage.propagation.back.backward_pass import BackwardPass, Gradient, independent, pass_through, unknown
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import PendingGradient

__all__ = ["BackwardPass", "Gradient", "backward"]

Rule = Callable[[BackwardPass, Node, PendingGradient], None]


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
            # The parts of a tensor that was put together tell what each gradient depends on; the whole does not.
            for one in arrived if node.operation is Operation.CONCATENATION else (flow,):
                _RULES.get(node.operation, pass_through)(back, node, one)
    return back


_RULES: Mapping[Operation, Rule] = {
    Operation.LINEAR: weighted.linear,
    Operation.CONVOLUTION: weighted.linear,
    Operation.EMBEDDING: pass_through,
    Operation.RECURRENT: weighted.through_time,
    Operation.ATTENTION: attention.attended,
    Operation.MATMUL: attention.product,
    Operation.SOFTMAX: attention.softmaxed,
    Operation.ACTIVATION: elementwise.activation,
    Operation.NORMALIZATION: normalization.normalization,
    Operation.ADD: elementwise.add,
    Operation.MULTIPLY: elementwise.multiply,
    Operation.OFFSET: elementwise.offset,
    Operation.SCALE: elementwise.scale,
    Operation.POOLING: places.pooling,
    Operation.RESAMPLE: places.resampling,
    Operation.RESHAPE: places.selection,
    Operation.CONCATENATION: places.selection,
    Operation.REDUCTION: places.reduction,
    Operation.DROPOUT: elementwise.dropout,
    Operation.UNKNOWN: unknown,
}
