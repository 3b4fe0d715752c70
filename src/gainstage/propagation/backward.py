"""Backward rules: the second moment of the loss's gradient at every output, and at every parameter.

A gradient is taken to be independent of the signal that it meets, as is usual; what is not independent (a relu behind
max pooling, a tensor that takes two ways into one sum) is carried along as the function of a source that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from gainstage.graph import Node, Operation
from gainstage.propagation.back import attention, elementwise, normalization, places, weighted
from gainstage.propagation.back.flows import Backward, Gradient, independent, passed, unknown
from gainstage.propagation.pairs import Pairs
from gainstage.propagation.run import Run, doubtful
from gainstage.propagation.signal import Flow

__all__ = ["Backward", "Gradient", "backward"]

Rule = Callable[[Backward, Node, Flow], None]


def backward(run: Run, start: Mapping[int, Pairs]) -> Backward:
    """Predict the gradient at every node from that at the outputs.

    Args:
        run: a forward pass.
        start: second moments of the gradient at the model's outputs, by node.
    """
    back = Backward(run)
    for index, pairs in start.items():
        if index in run.signals:
            back.send(index, Flow(run.signals[index].extent, pairs, run.ledger.number()))
    for node in reversed(run.graph.nodes):
        arrived = back.arrivals(node.index) if node.index in run.signals else []
        if not arrived:
            continue
        if node.operation is Operation.CONCATENATION:
            arrived = [back.named(one) for one in arrived]
        flow = independent(back, arrived)
        pairs = back.value(flow)
        back.gradients[node.index] = Gradient(run.signals[node.index].extent, pairs, back.noise(flow), flow.doubt)
        if any(i in run.signals for i in node.inputs):
            if run.signals[node.index].doubt and not flow.doubt:
                doubt = f"its gradient comes back through what is doubtful ({run.signals[node.index].doubt})"
                flow, arrived = replace(flow, doubt=doubt), [replace(one, doubt=doubt) for one in arrived]
            # The parts of a tensor that was put together tell what each gradient depends on; the whole does not.
            for one in arrived if node.operation is Operation.CONCATENATION else (flow,):
                _sent_back(back, node, one)
    return back


def _sent_back(back: Backward, node: Node, flow: Flow) -> None:
    """Send a gradient to what a node reads; moments beyond the range of numbers are a doubt."""
    try:
        with np.errstate(all="ignore"):
            _RULES.get(node.operation, passed)(back, node, flow)
    except ArithmeticError:
        doubt = flow.doubt or doubtful(node, "the moments of its gradient are too large for floating-point numbers")
        passed(back, node, replace(flow, doubt=doubt))


_RULES: Mapping[Operation, Rule] = {
    Operation.LINEAR: weighted.linear,
    Operation.CONVOLUTION: weighted.linear,
    Operation.EMBEDDING: passed,
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
    Operation.RESHAPE: places.taken,
    Operation.CONCATENATION: places.taken,
    Operation.REDUCTION: places.reduction,
    Operation.DROPOUT: elementwise.dropout,
    Operation.UNKNOWN: unknown,
}
