"""Forward rules: what every operation makes of the moments of what it reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from gainstage.graph import Node, Operation
from gainstage.propagation import attention, elementwise, normalization, pooling, recurrent, resampling, weighted
from gainstage.propagation.draw_variance import CALM
from gainstage.propagation.finite_width import Basis, Chance
from gainstage.propagation.geometry import paddings, spatial
from gainstage.propagation.pairs import Extent, Pairs
from gainstage.propagation.run import InputMoments, Run, doubtful
from gainstage.propagation.signal import Signal
from gainstage.records import WeightMoments
from gainstage.theory.activations import Array
from gainstage.theory.images.windows import relative

__all__ = ["forward"]


Rule = Callable[[Run, Node, list[Signal]], Signal]
Arrived = Callable[[Run, Node, Signal], Mapping[str, WeightMoments]]


def forward(run: Run, *, arrived: Arrived | None = None) -> Run:
    """Predict every node of the model, in order of execution; the loss is left out.

    Args:
        run: what is known before; what is found is added to it.
        arrived: called at every weighted node with what it makes of the signal; the weights that it returns take the
            place of those that are known, and the node is predicted anew.
    """
    run.weights = weights = dict(run.weights)  # the caller's own stay as they are
    for node in run.graph.nodes:
        if node.part_of is not None or node.stage != "model" or node.operation is Operation.LOSS:
            continue
        operands = [run.signals[i] for i in node.inputs if i in run.signals]
        if not operands and node.operation not in _SOURCES:
            continue
        rule = _RULES.get(node.operation, _unknown)
        signal = _followed(rule, run, node, operands)
        if arrived is not None and node.operation.weighted:
            told = replace(signal, doubt=next((s.doubt for s in (signal, *operands) if s.doubt), ""))
            if instead := arrived(run, node, told):
                weights.update(instead)
                signal = _followed(rule, run, node, operands)
        doubt = next((s.doubt for s in (signal, *operands) if s.doubt), "")
        if signal.course is not None and signal.extent.positions % signal.course.places:
            signal = replace(signal, course=None)  # places were left out or put together
        run.signals[node.index] = signal if signal.doubt == doubt else replace(signal, doubt=doubt)
    return run


def _followed(rule: Rule, run: Run, node: Node, operands: list[Signal]) -> Signal:
    """What a rule makes of its operands; moments beyond the range of numbers are a doubt, and the level goes on."""
    try:
        with np.errstate(all="ignore"):
            return rule(run, node, operands)
    except ArithmeticError:
        if not operands:
            raise
        x = run.placed(node, run.ledger.fresh(run.ledger.merged(operands[0])))
        return replace(x, doubt=doubtful(node, "its moments are too large for floating-point numbers"))


def _input(run: Run, node: Node, _operands: list[Signal]) -> Signal:
    """What is fed in, or a learned token that every example gets."""
    extent = run.extent(node)
    if node.function == "learned":
        square = math.fsum(
            (w.second_moment if (w := run.weights.get(use.parameter)) is not None else 1.0) for use in node.uses
        )
        level = square if node.uses else 1.0
        return run.ledger.fresh(Signal(extent, Pairs(level, 0.0, 0.0, level, apart=0.0)))
    place = run.graph.inputs.index(node.index) if node.index in run.graph.inputs else -1
    told = run.inputs[place] if 0 <= place < len(run.inputs) else InputMoments()
    near = told.positions if told.near is None else told.near
    apart = told.examples if told.apart is None else told.apart
    pairs = Pairs(told.second_moment, told.units, told.positions, told.examples, near, apart)
    alike = told.examples / told.second_moment if told.second_moment > 0 else 0.0
    few = (1 - alike) ** 2 / max(extent.units, 1)
    chance = Chance(swing=2 * few, basis=Basis(node.index, few))
    # Of a batch that is not given yet, the level scatters as that of so many independent values.
    given = 0 <= place < len(run.inputs)
    noise = CALM if given else CALM.caused(run.ledger.cause(), 2 / max(extent.count, 1))
    signal = Signal(extent, pairs, told.mean, noise=noise, carried=noise, borders=_borders(node, told), chance=chance)
    return run.ledger.fresh(signal)


def _borders(node: Node, told: InputMoments) -> tuple[Array | None, ...]:
    """How the level of an image varies along its axes, where that was told and is of its size."""
    if tuple(len(along) for along in told.profiles) != spatial(node):
        return ()
    return tuple(relative(np.array(along))[1] for along in told.profiles)


def _reshape(run: Run, node: Node, operands: list[Signal]) -> Signal:
    """Slices, gathers, copies: other elements of the same kind, so independent of those left behind."""
    x = run.ledger.merged(operands[0]) if len(operands) == 1 else run.ledger.joined(tuple(operands), operands[0])
    extent = run.extent(node)
    if node.function == "pad":
        return run.ledger.fresh(weighted.padded(x, extent, paddings(node)))
    if len(operands) > 1:
        x = run.ledger.merged(x)
    elif extent.count > x.extent.count and extent.units < x.extent.units:  # heads repeated, which are units
        extent = Extent(extent.count // (x.extent.positions * extent.examples), x.extent.positions, extent.examples)
    return run.ledger.fresh(replace(x, extent=extent, borders=x.borders if extent == x.extent else ()))


def _concatenation(run: Run, node: Node, operands: list[Signal]) -> Signal:
    extent = run.extent(node)
    axis = dict(node.settings).get("axis")
    if len(operands) == 1 and extent.count > operands[0].extent.count:  # a tensor beside itself or a constant
        return run.ledger.fresh(replace(run.ledger.merged(operands[0]), extent=extent))
    flat = tuple(part for x in operands for part in (x.parts or (x,)))
    along_units = axis is None or node.unit_axis is None or int(axis) == node.unit_axis
    sized = flat if along_units else tuple(replace(x, extent=replace(x.extent, units=x.extent.positions)) for x in flat)
    joined = run.ledger.joined(sized, operands[0])
    if not along_units:
        levels = [x.pairs.level for x in operands]
        if max(levels) > _UNEVEN * min(levels):
            why = "places of different levels stand side by side, and are taken for their mean"
            joined = replace(joined, doubt=joined.doubt or doubtful(node, why))
    if along_units:
        return replace(joined, extent=extent)
    return run.ledger.fresh(replace(joined, parts=(), extent=extent, borders=()))


def _reduction(run: Run, node: Node, operands: list[Signal]) -> Signal:
    x = run.ledger.merged(operands[0])
    extent = run.extent(node)
    whole = x.extent.positions * x.extent.units
    left = max(math.prod(node.shape) // extent.examples, 1)
    count = max(whole // left, 1)
    if pooling.is_largest(node, x.extent, extent):
        return pooling.pooled(run, replace(node, function="max"), [x])
    if node.function not in ("mean", "sum"):
        doubt = doubtful(node, f"no rule for '{node.function}'")
        return run.ledger.fresh(replace(x, extent=extent, doubt=x.doubt or doubt, borders=()))
    factor = float(count) if node.function == "sum" else 1.0
    units_gone = node.unit_axis is None or (x.extent.units > 1 and extent.units == 1)
    if units_gone and count > x.extent.units:  # over both
        x = pooling.averaged(x, count / x.extent.units)
        count = x.extent.units
    averaged = pooling.averaged_units(x, count) if units_gone else pooling.averaged(x, count)
    pairs = averaged.pairs.scaled(factor**2)
    return run.ledger.fresh(replace(averaged, pairs=pairs, mean=averaged.mean * factor, extent=extent, borders=()))


def _mask(run: Run, node: Node, operands: list[Signal]) -> Signal:
    x = operands[0]
    if attention.masks_scores(run.graph, node):
        return run.placed(node, x)
    return replace(run.placed(node, run.ledger.fresh(x)), doubt=x.doubt or doubtful(node, "the mask is not known"))


def _unknown(run: Run, node: Node, operands: list[Signal]) -> Signal:
    x = run.ledger.merged(operands[0])
    return replace(run.placed(node, run.ledger.fresh(x)), doubt=doubtful(node, "there is no rule for this operation"))


_UNEVEN = 4.0  # a gradient that goes to one of the places alone is off by that much
_SOURCES = frozenset({Operation.INPUT, Operation.EMBEDDING})
_RULES: Mapping[Operation, Rule] = {
    Operation.INPUT: _input,
    Operation.EMBEDDING: weighted.embedding,
    Operation.LINEAR: weighted.linear,
    Operation.CONVOLUTION: weighted.convolution,
    Operation.RECURRENT: recurrent.recurrent,
    Operation.ATTENTION: attention.attention,
    Operation.MATMUL: attention.product,
    Operation.SOFTMAX: attention.softmax,
    Operation.ACTIVATION: elementwise.activation,
    Operation.NORMALIZATION: normalization.normalization,
    Operation.ADD: elementwise.add,
    Operation.MULTIPLY: elementwise.multiply,
    Operation.OFFSET: elementwise.offset,
    Operation.SCALE: elementwise.scale,
    Operation.POOLING: pooling.pooled,
    Operation.RESAMPLE: resampling.resampled,
    Operation.REDUCTION: _reduction,
    Operation.CONCATENATION: _concatenation,
    Operation.DROPOUT: elementwise.dropout,
    Operation.RESHAPE: _reshape,
    Operation.MASK: _mask,
    Operation.UNKNOWN: _unknown,
}
