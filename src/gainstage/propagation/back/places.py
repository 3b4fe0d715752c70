"""Backward rules of pooling, means, slices, padding and other selections of positions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gainstage.graph import Node, Operation
from gainstage.propagation import positions
from gainstage.propagation.back.backward_pass import BackwardPass, send_to_operand
from gainstage.propagation.function import Function
from gainstage.propagation.geometry import paddings, spatial, windows
from gainstage.propagation.pooling import is_largest, overlapping, window_size
from gainstage.propagation.resampling import gathered, matrices
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.sequence_profile import SequenceProfile
from gainstage.propagation.signal import FunctionOf, PendingGradient, Signal
from gainstage.theory.activations import Array
from gainstage.theory.images.windows import Window

__all__ = ["pooling", "reduction", "resampling", "selection"]


def _chance_of_winning(source: Signal, places: float) -> Function:
    """Return √ of the probability, relative to its mean, that an element of a given value is its window's maximum."""
    from scipy.special import ndtr

    mean, spread = source.mean, math.sqrt(source.variance) or 1.0
    c = min(max(source.correlation(source.pairs.neighbour), 0.0), 0.999)
    # Given the shared part, all other positions are below z when their independent parts are: √c z + √(1 - c) w.
    w, weight = np.polynomial.hermite_e.hermegauss(24)

    def value(x: Array) -> Array:
        z = math.sqrt(1 - c) * (x[..., None] - mean) / spread
        return np.asarray(np.sqrt(places * ndtr(z - math.sqrt(c) * w) ** (places - 1) @ (weight / weight.sum())))

    return Function(("winning", mean, spread, c, places), value, np.zeros_like)


def selection(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send the gradient through an operation whose elements come from one operand each; padding receives none."""
    live = [i for i in node.inputs if i in back.run.signals]
    if node.function in ("pad", "pad_edges"):
        flow = _cropped(back, node, flow)
    signals = [back.run.signals[i] for i in live]
    parted = flow.largest_of > 1 or len(flow.parts) == sum(max(len(signal.parts), 1) for signal in signals)
    if node.operation is Operation.CONCATENATION and len(live) > 1 and parted:
        _send_to_parts(back, live, flow)
        return
    if _sent_to_positions(back, node, live, flow):
        return
    for index, signal in zip(live, signals, strict=True):
        if flow.extent.count <= signal.extent.count or (len(live) == 1 and node.function == "repeat"):
            send_to_operand(back, index, flow)
        else:
            plain = back.evaluated(flow)
            unshared_variance = _fewer_units_variance(plain, signal.extent.units)
            back.send(
                index,
                replace(
                    plain,
                    extent=signal.extent,
                    edge_profiles=_part_edge_profiles(plain, signal),
                    unshared_variance=unshared_variance,
                ),
            )


def _sent_to_positions(back: BackwardPass, node: Node, live: list[int], flow: PendingGradient) -> bool:
    """Send the gradient to some of the tokens of a slice's input, or to all tensors that were set side by side.

    Returns:
        whether kinds of tokens are told apart here.
    """
    signals = [back.run.signals[i] for i in live]
    whole = back.run.signals[node.index].sequence
    if node.operation is Operation.RESHAPE and len(live) == 1 and node.function == "slice":
        of = signals[0].sequence
        part = positions.selected(node, signals[0].extent, of)
        if part is None or of is None:
            return False
        sent = positions.part_of_gradient(back.evaluated(flow), of, part)
        back.send(live[0], replace(sent, extent=signals[0].extent, atom=back.run.algebra.number(), edge_profiles=()))
        return True
    sizes = [1 if signal.sequence is None else signal.sequence.counts.size for signal in signals]
    if node.operation is not Operation.CONCATENATION or whole is None or whole.counts.size != sum(sizes):
        return False
    plain = back.evaluated(flow)
    if plain.sequence is None or plain.sequence.counts.size != whole.counts.size:
        plain = replace(plain, sequence=SequenceProfile.uniform(whole.counts, plain.base))
    start = 0
    for index, signal, size in zip(live, signals, sizes, strict=True):
        sent = positions.received_by_part(plain, start, signal)
        more = _fewer_units_variance(plain, signal.extent.units)
        back.send(index, replace(sent, extent=signal.extent, edge_profiles=(), atom=back.run.algebra.number(),
                                 unshared_variance=more))  # fmt: skip
        start += size
    return True


def _part_edge_profiles(flow: PendingGradient, part: Signal) -> tuple[Array | None, ...]:
    """Return the edge profiles of a part, the same for all parts concatenated along the units."""
    return flow.edge_profiles if part.extent.positions == flow.extent.positions else ()


def _fewer_units_variance(flow: PendingGradient, units: int) -> float:
    """Return the additional variance of a gradient's mean square over some of its units only."""
    return 2 * flow.mean_squared_correlation * max(1 / units - 1 / flow.extent.units, 0.0)


def _send_to_parts(back: BackwardPass, live: list[int], flow: PendingGradient) -> None:
    """Send each part of a concatenated tensor its own gradient."""
    signals = [back.run.signals[i] for i in live]
    counts = [max(len(signal.parts), 1) for signal in signals]
    plain, start = back.evaluated(flow), 0
    levels = plain.parts or (1.0,) * sum(counts)
    for index, signal, count in zip(live, signals, counts, strict=True):
        mine = levels[start : start + count]
        units = [part.extent.units for part in signal.parts or (signal,)]
        level = sum(u * n for u, n in zip(mine, units, strict=True)) / sum(units)
        inner = tuple(u / level for u in mine) if count > 1 and level > 0 else ()
        sent = replace(
            plain, base=plain.base.scaled(level), atom=back.run.algebra.number(), extent=signal.extent,
            edge_profiles=_part_edge_profiles(plain, signal), parts=inner,
            largest_of=flow.largest_of, unshared_variance=_fewer_units_variance(plain, signal.extent.units),
        )  # fmt: skip
        if flow.largest_of > 1 and signal.dependence is not None:
            won = _chance_of_winning(back.run.algebra.source(signal.dependence.source), flow.largest_of)
            sent = replace(sent, dependence=FunctionOf(signal.dependence.source, won), largest_of=1)
        back.send(index, sent)
        start += count


def _cropped(back: BackwardPass, node: Node, flow: PendingGradient) -> PendingGradient:
    """Return the gradient at the interior of a padded image; the padding's gradient is lost."""
    before, factor, kept = spatial(back.run.graph.nodes[node.inputs[0]]), 1.0, list[Array | None]()
    ends = paddings(node)
    for axis, (size, border) in enumerate(zip(before, flow.edge_profiles, strict=False)):
        if border is None or border.size <= size:
            kept.append(border)
            continue
        start = max(ends[axis][1], 0) if axis < len(ends) else (border.size - size) // 2
        middle = border[start : start + size]
        factor *= float(middle.mean())
        kept.append(middle / middle.mean() if middle.mean() > 0 else None)
    plain = back.evaluated(flow)
    return replace(plain, base=plain.base.scaled(factor), atom=back.run.algebra.number(), edge_profiles=tuple(kept))


def pooling(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send the gradient through pooling: an average shares it, a maximum passes it to the winner."""
    run, index = back.run, node.inputs[0]
    x, plain = run.signals[index], back.evaluated(flow)
    size = window_size(node, x.extent, plain.extent)
    g = plain.base
    edge_profiles = tuple(
        window.backward(plain.edge_profiles[axis] if axis < len(plain.edge_profiles) else None)[1]
        for axis, window in enumerate(windows(node))
    )
    covering = size * plain.extent.positions / max(x.extent.positions, 1)  # windows that contain one position
    found = windows(node)
    if found:
        covering = math.prod(w.backward(None)[0] for w in found)
    if node.function == "max":
        won = plain.extent.positions / max(x.extent.positions, 1)  # windows of which a position is the maximum
        level = g.level * won
        if covering > 1:
            level += _double_winners(found, g, won)
        pairs = SecondMoments(level, g.units * won**2, g.positions * won**2, g.examples * won**2)
        dependence = (
            None
            if x.dependence is None
            else FunctionOf(x.dependence.source, _chance_of_winning(run.algebra.source(x.dependence.source), size))
        )
        later = round(size) if x.parts else 1  # each part then has its own probability of winning
        moved = PendingGradient(
            x.extent, pairs, run.algebra.number(), dependence=dependence, largest_of=max(later, 1), noise=plain.noise,
            edge_profiles=edge_profiles, finite_width=plain.finite_width, doubt=plain.doubt,
        )  # fmt: skip
        back.send(index, moved)
        return
    level = (covering * g.level + covering * max(covering - 1, 0.0) * g.positions) / size**2
    whole = plain.extent.positions == 1  # every position receives the same gradient
    scale = (covering / size) ** 2
    pairs = SecondMoments(level, g.units * scale, level if whole else g.positions * scale, g.examples * scale)
    back.send(index, _moved(back, plain, x, pairs, edge_profiles))


def _moved(
    back: BackwardPass,
    plain: PendingGradient,
    x: Signal,
    pairs: SecondMoments,
    edge_profiles: tuple[Array | None, ...] = (),
) -> PendingGradient:
    """Return a gradient at the positions of an operand, with the fluctuations and doubts that it had behind it."""
    return PendingGradient(
        x.extent, pairs, back.run.algebra.number(), noise=plain.noise, edge_profiles=edge_profiles,
        finite_width=plain.finite_width, doubt=plain.doubt,
    )  # fmt: skip


def _double_winners(along: tuple[Window, ...], g: SecondMoments, won: float) -> float:
    """Return the second moment that positions add which are the maximum of two windows: the product of both gradients.

    Gradients of two windows are more alike the more positions the windows share.
    """
    ways = overlapping(along)
    beside = sum(way.neighbour * way.same for way in ways)
    more = (g.neighbour - g.positions) / beside if beside > 0 else 0.0
    return won * sum(way.pairs * way.same * (g.positions + more * way.same) for way in ways)


def reduction(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send the gradient through a mean, a sum or a maximum."""
    run, index = back.run, node.inputs[0]
    x, plain = run.signals[index], back.evaluated(flow)
    if is_largest(node, x.extent, plain.extent):
        pooling(back, replace(node, function="max"), flow)
        return
    count = max(x.extent.count // max(plain.extent.count, 1), 1)
    factor = 1.0 if node.function == "sum" else 1 / count**2
    g = plain.base.scaled(factor)
    units_gone = node.unit_axis is None or (x.extent.units > 1 and plain.extent.units == 1)
    pairs = SecondMoments(
        g.level, g.level if units_gone else g.units, g.positions if units_gone else g.level, g.examples
    )
    back.send(index, _moved(back, plain, x, pairs))


def resampling(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send the gradient through a resized image, by the transposed interpolation weights."""
    run, index = back.run, node.inputs[0]
    x, plain = run.signals[index], back.evaluated(flow)
    axes = [weights.T for weights in matrices(run.graph, node)]
    if not axes:
        send_to_operand(back, index, plain)
        return
    pairs, edge_profiles = gathered(plain.base, 0.0, axes, plain.edge_profiles)
    back.send(index, _moved(back, plain, x, pairs, edge_profiles))
