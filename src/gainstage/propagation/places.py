"""Inputs, reshapes, concatenations, reductions and masks in the forward pass."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gainstage.graph import Node
from gainstage.propagation import attention, pooling, positions, weighted
from gainstage.propagation.draw_variance import NO_VARIANCE
from gainstage.propagation.finite_width import Basis, FiniteWidth
from gainstage.propagation.forward_pass import ForwardPass, doubtful
from gainstage.propagation.geometry import paddings, spatial
from gainstage.propagation.second_moments import Extent, SecondMoments
from gainstage.propagation.signal import Signal
from gainstage.records import InputMoments
from gainstage.theory.activations import Array
from gainstage.theory.images.windows import relative

__all__ = ["concatenation", "mask", "model_input", "reduction", "reshape", "unknown"]

_UNEVEN = 4.0  # a gradient that reaches one of the positions alone is off by this factor


def model_input(run: ForwardPass, node: Node, _operands: list[Signal]) -> Signal:
    """Predict an input, or a learned token that is the same for every example."""
    extent = run.extent(node)
    if node.function == "learned":
        square = math.fsum(
            (w.second_moment if (w := run.weights.get(use.parameter)) is not None else 1.0) for use in node.uses
        )
        level = square if node.uses else 1.0
        return run.algebra.new_source(Signal(extent, SecondMoments(level, 0.0, 0.0, level, across_both=0.0)))
    place = run.graph.inputs.index(node.index) if node.index in run.graph.inputs else -1
    moments = run.inputs[place] if 0 <= place < len(run.inputs) else InputMoments()
    neighbour = moments.positions if moments.neighbour is None else moments.neighbour
    across_both = moments.examples if moments.across_both is None else moments.across_both
    k = moments
    pairs = SecondMoments(k.second_moment, k.units, k.positions, k.examples, neighbour, across_both)
    alike = moments.examples / moments.second_moment if moments.second_moment > 0 else 0.0
    few = (1 - alike) ** 2 / max(extent.units, 1)
    finite_width = FiniteWidth(square_variance=2 * few, basis=Basis(node.index, few))
    # The second moment of a batch that is not given has the variance of a mean over independent values.
    given = 0 <= place < len(run.inputs)
    noise = NO_VARIANCE if given else NO_VARIANCE.with_cause(run.algebra.cause(), 2 / max(extent.count, 1))
    signal = Signal(
        extent,
        pairs,
        moments.mean,
        noise=noise,
        inherited=noise,
        edge_profiles=_edge_profiles(node, moments),
        finite_width=finite_width,
    )
    return run.algebra.new_source(signal)


def _edge_profiles(node: Node, moments: InputMoments) -> tuple[Array | None, ...]:
    """Return the second moment along the axes of an image input, where known for an image of this size."""
    if tuple(len(along) for along in moments.profiles) != spatial(node):
        return ()
    return tuple(relative(np.array(along))[1] for along in moments.profiles)


def reshape(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict slices, gathers and copies, whose elements count as independent of those left out."""
    x = (
        run.algebra.without_parts(operands[0])
        if len(operands) == 1
        else run.algebra.concatenated(tuple(operands), operands[0])
    )
    extent = run.extent(node)
    if node.function == "slice" and (part := positions.selected(node, x.extent, x.sequence)) is not None:
        return run.algebra.new_source(replace(positions.taken(x, part), extent=extent, edge_profiles=()))
    if node.setting("chosen"):
        doubt = x.doubt or doubtful(node, "which elements it takes depends on the input")
        return run.algebra.new_source(replace(x, extent=extent, edge_profiles=(), sequence=None, doubt=doubt))
    if node.function == "pad":
        return run.algebra.new_source(weighted.padded(x, extent, paddings(node)))
    if len(operands) > 1:
        x = run.algebra.without_parts(x)
    elif extent.count > x.extent.count and extent.units < x.extent.units:  # repeated heads, stored as units
        extent = Extent(extent.count // (x.extent.positions * extent.examples), x.extent.positions, extent.examples)
    return run.algebra.new_source(
        replace(x, extent=extent, edge_profiles=x.edge_profiles if extent == x.extent else ())
    )


def concatenation(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a concatenation, along the units or along the positions."""
    extent = run.extent(node)
    axis = dict(node.settings).get("axis")
    if len(operands) == 1 and extent.count > operands[0].extent.count:  # with itself or a constant
        return run.algebra.new_source(replace(run.algebra.without_parts(operands[0]), extent=extent))
    flat = tuple(part for x in operands for part in (x.parts or (x,)))
    along_units = axis is None or node.unit_axis is None or int(axis) == node.unit_axis
    sized = flat if along_units else tuple(replace(x, extent=replace(x.extent, units=x.extent.positions)) for x in flat)
    concatenated = run.algebra.concatenated(sized, operands[0])
    beside = None if along_units else positions.side_by_side(run, node, operands)
    if beside is not None:
        profile, level = beside
        pairs = profile.imposed_on(replace(concatenated.pairs, level=level))
        concatenated = replace(concatenated, pairs=pairs, sequence=profile)
    elif not along_units:
        levels = [x.pairs.level for x in operands]
        if max(levels) > _UNEVEN * min(levels):
            why = "places of different levels stand side by side, and are taken for their mean"
            concatenated = replace(concatenated, doubt=concatenated.doubt or doubtful(node, why))
    if along_units:
        return replace(concatenated, extent=extent)
    return run.algebra.new_source(replace(concatenated, parts=(), extent=extent, edge_profiles=()))


def reduction(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a mean, a sum or a maximum."""
    x = run.algebra.without_parts(operands[0])
    extent = run.extent(node)
    whole = x.extent.positions * x.extent.units
    left = max(math.prod(node.shape) // extent.examples, 1)
    count = max(whole // left, 1)
    if pooling.is_largest(node, x.extent, extent):
        return pooling.pooled(run, replace(node, function="max"), [x])
    if node.function not in ("mean", "sum"):
        doubt = doubtful(node, f"no rule for '{node.function}'")
        return run.algebra.new_source(replace(x, extent=extent, doubt=x.doubt or doubt, edge_profiles=()))
    factor = float(count) if node.function == "sum" else 1.0
    units_gone = node.unit_axis is None or (x.extent.units > 1 and extent.units == 1)
    if units_gone and count > x.extent.units:  # a mean over units and positions
        x = pooling.averaged(x, count / x.extent.units)
        count = x.extent.units
    averaged = pooling.averaged_units(x, count) if units_gone else pooling.averaged(x, count)
    pairs = averaged.pairs.scaled(factor**2)
    return run.algebra.new_source(
        replace(averaged, pairs=pairs, mean=averaged.mean * factor, extent=extent, edge_profiles=())
    )


def mask(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a mask: one on attention scores leaves the signal, another one is a reason for doubt."""
    x = operands[0]
    if attention.masks_scores(run.graph, node):
        return run.placed(node, x)
    return replace(
        run.placed(node, run.algebra.new_source(x)), doubt=x.doubt or doubtful(node, "the mask is not known")
    )


def unknown(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Return the input unchanged, with a reason for doubt."""
    x = run.algebra.without_parts(operands[0])
    return replace(
        run.placed(node, run.algebra.new_source(x)), doubt=doubtful(node, "there is no rule for this operation")
    )
