"""The table of rules: one forward and one backward rule for every operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gainstage.graph import Node, Operation
from gainstage.propagation import (
    attention,
    bilinear,
    elementwise,
    normalization,
    places,
    pooling,
    recurrent,
    resampling,
    weighted,
)
from gainstage.propagation.back import attention as attention_back
from gainstage.propagation.back import elementwise as elementwise_back
from gainstage.propagation.back import normalization as normalization_back
from gainstage.propagation.back import places as places_back
from gainstage.propagation.back import weighted as weighted_back
from gainstage.propagation.back.backward_pass import BackwardPass, pass_through, unknown
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.signal import PendingGradient, Signal

__all__ = ["RULES", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """The two rules of one operation.

    Args:
        forward: returns the signal at a node from the signals of its inputs.
        backward: sends the gradient at a node to its inputs.
    """

    forward: Callable[[ForwardPass, Node, list[Signal]], Signal]
    backward: Callable[[BackwardPass, Node, PendingGradient], None]


RULES: Mapping[Operation, Rule] = {
    Operation.INPUT: Rule(places.model_input, pass_through),
    Operation.EMBEDDING: Rule(weighted.embedding, pass_through),
    Operation.LINEAR: Rule(weighted.linear, weighted_back.linear),
    Operation.BILINEAR: Rule(bilinear.forward, bilinear.backward),
    Operation.CONVOLUTION: Rule(weighted.convolution, weighted_back.linear),
    Operation.RECURRENT: Rule(recurrent.recurrent, weighted_back.through_time),
    Operation.ATTENTION: Rule(attention.attention, attention_back.attended),
    Operation.MATMUL: Rule(attention.product, attention_back.product),
    Operation.SOFTMAX: Rule(attention.softmax, attention_back.softmaxed),
    Operation.ACTIVATION: Rule(elementwise.activation, elementwise_back.activation),
    Operation.NORMALIZATION: Rule(normalization.normalization, normalization_back.normalization),
    Operation.ADD: Rule(elementwise.add, elementwise_back.add),
    Operation.MULTIPLY: Rule(elementwise.multiply, elementwise_back.multiply),
    Operation.OFFSET: Rule(elementwise.offset, elementwise_back.offset),
    Operation.SCALE: Rule(elementwise.scale, elementwise_back.scale),
    Operation.POOLING: Rule(pooling.pooled, places_back.pooling),
    Operation.RESAMPLE: Rule(resampling.resampled, places_back.resampling),
    Operation.REDUCTION: Rule(places.reduction, places_back.reduction),
    Operation.CONCATENATION: Rule(places.concatenation, places_back.selection),
    Operation.RESHAPE: Rule(places.reshape, places_back.selection),
    Operation.DROPOUT: Rule(elementwise.dropout, elementwise_back.dropout),
    Operation.MASK: Rule(places.mask, pass_through),
    Operation.UNKNOWN: Rule(places.unknown, unknown),
}
