"""Elementwise functions, sums, products, scales and dropout in the forward pass."""

from __future__ import annotations

import math
from dataclasses import replace

from gainstage.graph import DerivationStep, Node
from gainstage.propagation import attention
from gainstage.propagation.composed import is_scalar
from gainstage.propagation.forward_pass import ForwardPass, doubtful
from gainstage.propagation.function import IDENTITY, Function
from gainstage.propagation.rotary import rotated
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import Signal, broadcast_to, transposed_like
from gainstage.propagation.weights import follows, scale_of
from gainstage.records import WeightMoments

__all__ = ["activation", "add", "dropout", "multiply", "offset", "scale"]


def activation(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict an elementwise function."""
    x = operands[0]
    if node.function == "glu":
        half = run.algebra.new_source(replace(run.algebra.without_parts(x), rows=None))
        gate = run.functions.of(replace(node, function="sigmoid"))
        assert gate is not None
        opened = run.algebra.apply(Function.of(gate), run.algebra.new_source(replace(half)))
        return run.placed(node, run.algebra.multiply(half, opened))
    found = run.functions.of(node)
    if found is None:
        return replace(run.algebra.new_source(x), doubt=doubtful(node, "its function could not be determined"))
    return run.placed(node, run.algebra.apply(Function.of(found), x))


def add(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a sum of signals, each times its coefficient."""
    first, second = node.coefficients
    operands = _transposed_like(run, node, operands)
    if len(operands) == 1:
        return run.placed(node, run.algebra.apply(IDENTITY.scaled(first + second), operands[0]))
    total = _times_number(run, operands[0], first)
    for other in operands[1:]:
        # The sum applies a sign itself, so that the operand keeps its terms.
        total = run.algebra.add(total, _times_number(run, other, abs(second)), math.copysign(1.0, second))
    if node.setting("blended"):
        total = replace(total, doubt=total.doubt or doubtful(node, "how much of each operand it takes is not known"))
    return run.placed(node, total)


def _times_number(run: ForwardPass, x: Signal, factor: float) -> Signal:
    return x if factor == 1 else run.algebra.apply(IDENTITY.scaled(factor), x)


def _transposed_like(run: ForwardPass, node: Node, operands: list[Signal]) -> list[Signal]:
    """Return the operands with units and positions as in the node's output."""
    extent = run.extent(node)
    return [transposed_like(x, extent) for x in operands]


def multiply(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a product, or a quotient, of two signals."""
    if len(operands) == 1:
        return run.placed(node, run.algebra.multiply(operands[0], operands[0], divide=node.divides))
    operands = _transposed_like(run, node, operands)
    total = operands[0]
    for other in operands[1:]:
        total = run.algebra.multiply(total, other, divide=node.divides)
    return run.placed(node, total)


def offset(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a signal times its coefficient plus a number, a parameter or a constant."""
    first, second = node.coefficients
    if is_scalar(node):
        own = IDENTITY if first == 1 else IDENTITY.scaled(first)
        return run.placed(node, run.algebra.apply(own.shifted(node.setting("other")), operands[0]))
    x = _times_number(run, operands[0], first)
    for use in node.uses:
        added = scale_of(run.graph, use, run.weights)
        if added.second_moment > 0:
            # Learned positions are the same for every example; a bias is the same at every position too.
            everywhere = added.second_moment if use.slot in ("bias", "shift") else added.mean**2
            square = added.second_moment
            pairs = SecondMoments(square, added.mean**2, everywhere, square, across_both=everywhere)
            x = run.algebra.add(x, run.algebra.new_source(Signal(x.extent, pairs, added.mean)), second)
        if DerivationStep.PRODUCT in use.changes:
            reason = f"what is added is computed from '{use.parameter}' and others, away from the input"
            x = replace(x, doubt=x.doubt or doubtful(node, reason))
    for constant in operands[1:]:
        x = run.algebra.add(x, broadcast_to(constant, x.extent), second)
    if not node.uses and len(operands) == 1 and not attention.masks_scores(run.graph, node):
        x = replace(x, doubt=x.doubt or doubtful(node, "what is added is not known"))
    return run.placed(node, x)


def scale(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a signal times a number, a parameter or a constant."""
    x = operands[0]
    if is_scalar(node):
        return run.placed(node, run.algebra.apply(IDENTITY.scaled(node.setting("other")), x))
    if node.function in ("cos", "sin"):
        # Rotary positions: cosine and sine with cos² + sin² = 1, applied to independent tensors.
        turned = run.algebra.apply(IDENTITY.scaled(math.sqrt(0.5)), x)
        if len(node.shape) > 2:
            turned = rotated(turned, node.shape[-2], node.shape[-1])
        return run.placed(node, turned)
    for use in node.uses:
        x = _times(run, x, scale_of(run.graph, replace(use, slot="scale"), run.weights))
        if not follows(replace(use, slot="scale")):
            reason = f"'{use.parameter}' is changed ({', '.join(use.changes)}) before it is used"
            x = replace(x, doubt=x.doubt or doubtful(node, reason))
    if len(operands) > 1:
        for constant in operands[1:]:
            x = run.algebra.multiply(x, broadcast_to(constant, x.extent))
    elif not node.uses and node.function != "matrix":
        x = replace(x, doubt=x.doubt or doubtful(node, "what it is multiplied by is not known"))
    elif node.function == "matrix":
        x = replace(run.algebra.new_source(x), doubt=x.doubt or doubtful(node, "a constant matrix of unknown size"))
    return run.placed(node, x)


def _times(run: ForwardPass, x: Signal, factor: WeightMoments) -> Signal:
    """Return the signal with every unit multiplied by its own random factor."""
    if x.parts:
        return run.algebra.concatenated(tuple(_times(run, part, factor) for part in x.parts), x)
    if factor.variance <= 1e-12 * max(factor.second_moment, 1e-300):
        return run.algebra.apply(IDENTITY.scaled(factor.mean), x)
    scaled = x.pairs.scaled(factor.second_moment)
    pairs = replace(scaled, units=x.pairs.units * factor.mean**2)
    return run.algebra.new_source(replace(x, pairs=pairs, mean=x.mean * factor.mean))


def dropout(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict dropout: elements are zero with probability p, the others are divided by 1 - p."""
    x = operands[0]
    p = dict(node.settings).get("p", 0.0) if run.training else 0.0
    if not 0 < p < 1:
        return run.placed(node, x)
    keep = 1 - p
    if x.parts:
        return run.algebra.concatenated(tuple(dropout(run, node, [part]) for part in x.parts), x)
    level = x.pairs.level / keep
    rows = None if x.rows is None else replace(
        x.rows, concentration=x.rows.concentration / keep, keep=keep * x.rows.keep
    )  # fmt: skip
    variance = max(level - x.mean**2, 0.0)
    fourth = _fourth(x) / keep**3
    mean = x.mean
    third = (x.skew * x.variance**1.5 + 3 * mean * x.variance + mean**3) / keep**2
    central3 = third - 3 * mean * level + 2 * mean**3
    central4 = fourth - 4 * mean * third + 6 * mean**2 * level - 3 * mean**4
    return run.algebra.new_source(
        replace(
            x,
            pairs=replace(x.pairs, level=level),
            sequence=None if x.sequence is None else replace(x.sequence, cross=keep * x.sequence.cross),
            rows=rows,
            zero=1 - keep * (1 - x.zero),
            skew=central3 / variance**1.5 if variance > 0 else 0.0,
            excess=min(central4 / variance**2 - 3, 6.0) if variance > 0 else 0.0,
        )
    )


def _fourth(x: Signal) -> float:
    v, m = x.variance, x.mean
    return float((3 + x.excess) * v * v + 4 * m * x.skew * v**1.5 + 6 * m * m * v + m**4)
