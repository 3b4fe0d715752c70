"""Backward rules of weights: each input sums over all outputs that it reaches."""

from __future__ import annotations

import math
from dataclasses import replace

from gainstage.graph import Node, Operation
from gainstage.propagation import recurrent
from gainstage.propagation.back.backward_pass import BackwardPass, send_to_operand
from gainstage.propagation.back.small_fan_in import with_gate_correlation
from gainstage.propagation.finite_width import Deviation, FiniteWidth
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.function import IDENTITY
from gainstage.propagation.geometry import windows
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.signal import FunctionOf, PendingGradient, Signal
from gainstage.propagation.weighted import puts_heads_together, regrouped
from gainstage.propagation.weights import mixing
from gainstage.theory.activations import Array

__all__ = ["linear", "through_time"]


def linear(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send the gradient through a linear layer or convolution."""
    run, index = back.run, node.inputs[0]
    by, kernel = mixing(run.graph, node, run.weights), node.kernel
    flow = _of_pairs(node, flow) if by.paired_outputs else flow
    x, plain = run.signals[index], back.evaluated(flow)
    fan_in, fan_out = (kernel.fan_in, kernel.fan_out) if kernel is not None else (1.0, 1.0)
    share, shared, edge_profiles = _taps_back(node, plain, x, one_tap=by.one_tap)
    square = by.square / fan_in * fan_out * share  # Σ w² over the outputs that one input reaches
    normed = _normalised_behind(run, node)
    if kernel is not None and normed:
        square *= max(1 - by.scatter, 0.2)  # small weights are divided by less, but return less gradient
    column = (by.weight_mean * fan_out * share) ** 2
    g = plain.base
    apart = square - by.weight_mean**2 * fan_out * share

    def pair(same: float, other: float, terms: float) -> float:
        part = terms / share if share > 0 else 0.0
        return part * (apart * same + by.weight_mean**2 * fan_out * share * (same - other) + column * other)

    seen = x
    if kernel is not None and node.operation is Operation.LINEAR:
        seen = regrouped(x, kernel.in_, heads=puts_heads_together(run, node))
    pairs = SecondMoments(
        pair(g.level, g.units, share), column * g.units, pair(g.positions, 0.0, shared),
        pair(g.examples, 0.0, shared), pair(g.neighbour, 0.0, share),
    )  # fmt: skip
    turned = seen.extent != x.extent and seen.extent.positions == x.extent.units  # the layer mixes tokens
    if turned:
        pairs = replace(pairs, units=pairs.positions, positions=pairs.units, neighbour=pairs.units)
        plain = replace(plain, sequence=None)
    finite_width = _gathered(node, plain, seen)
    if turned:
        finite_width = finite_width.transposed()
    moved = PendingGradient(
        x.extent,
        pairs,
        run.algebra.number(),
        noise=plain.noise,
        edge_profiles=edge_profiles,
        sequence=plain.sequence,
        finite_width=finite_width,
        doubt=plain.doubt,
    )
    mean_squared_correlation = replace(moved, extent=seen.extent).mean_squared_correlation
    lighter = (2 - by.scatter * fan_in) / max(fan_out, 1.0)  # squares of non-Gaussian weights scatter less
    own = 0.0 if by.isometric else max(2 * mean_squared_correlation - lighter, 0.0) / max(seen.extent.units, 1)
    moved = replace(moved, noise=moved.noise.with_cause(run.algebra.cause(), own))
    back.send(index, with_gate_correlation(back, node, flow, moved, normed=normed))


def _taps_back(
    node: Node, flow: PendingGradient, x: Signal, *, one_tap: bool
) -> tuple[float, float, tuple[Array | None, ...]]:
    """Return the share of taps that reach an output from one input and from each of two, and the edge profiles."""
    share, shared, edge_profiles = 1.0, 1.0, list[Array | None]()
    for axis, window in enumerate(windows(node) if node.operation is Operation.CONVOLUTION else ()):
        if one_tap and window.stride == 1:
            edge_profiles.append(flow.edge_profiles[axis] if axis < len(flow.edge_profiles) else None)
            continue
        terms, border = window.backward(flow.edge_profiles[axis] if axis < len(flow.edge_profiles) else None)
        share *= terms / window.kernel
        shared *= window.shared_back() / window.kernel
        edge_profiles.append(border)
    if node.operation is Operation.CONVOLUTION and not edge_profiles:
        share = min(flow.extent.positions / max(x.extent.positions, 1), 1.0)  # strides skip the other positions
    return share, min(shared, share), tuple(edge_profiles)


def _of_pairs(node: Node, flow: PendingGradient) -> PendingGradient:
    """Return what opposite units send back: gradients of opposite sign, times f'(h) and f'(-h)."""
    if flow.dependence is None or flow.dependence.function.key == IDENTITY.key:
        why = f"{node.label}: gradients from pairs of opposite units are not followed"
        return replace(flow, doubt=flow.doubt or why)
    return replace(flow, dependence=FunctionOf(flow.dependence.source, flow.dependence.function.mirrored(1.0)))


def _gathered(node: Node, flow: PendingGradient, x: Signal) -> FiniteWidth:
    """Return the fluctuations of gradients behind a weight, each a sum over few units or over equal ones."""
    along = windows(node) if node.operation is Operation.CONVOLUTION else ()
    kernel = node.kernel
    out = kernel.fan_out / math.prod(w.kernel for w in along) if kernel is not None else flow.extent.units
    equal = min((flow.base.units / flow.base.level) ** 2, 1.0) if flow.base.level > 0 else 0.0
    before = flow.finite_width.with_deviation(Deviation(node.index, equal + (1 - equal) / max(out, 1.0)))
    found = replace(before, pitch=x.finite_width.pitch).windowed([w.kernel for w in along], [1 for _ in along])
    return found if kernel is not None and kernel.groups > 1 else found.after_mixing(node.index, max(x.extent.units, 1))


def _normalised_behind(run: ForwardPass, node: Node) -> bool:
    """Report whether a batch norm reads this node and divides by statistics of the batch."""
    readers = (run.graph.nodes[i] for i in run.graph.consumers[node.index])
    return any(r.function == "batch_norm" and dict(r.settings).get("training") != 0 for r in readers)


def through_time(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send the gradient through a recurrent layer, all steps and layers."""
    run, index = back.run, node.inputs[0]
    x, plain = run.signals[index], back.evaluated(flow)
    g = plain.base
    alike, neighbour = (pair / g.level if g.level > 0 else 0.0 for pair in (g.positions, g.neighbour))
    found = recurrent.stages_back(run, node, alike, neighbour)
    if not found:  # the forward pass has recorded the reason
        send_to_operand(back, index, replace(plain, doubt=plain.doubt or f"{node.label}: its layers are not known"))
        return
    directions = max(plain.extent.units // found[-1].units, 1)
    factor = 1.0
    for stage in found:  # at the input of every layer the gradients of both directions add up
        factor *= directions * stage.moments.backward * stage.units / stage.fan_in
    level, first = g.level * factor, found[0].moments
    examples = level * g.examples / g.level if g.level > 0 else 0.0
    pairs = SecondMoments(
        level, 0.0, level * first.backward_correlation, min(examples, level), level * first.backward_neighbour,
        across_both=min(examples, level) * first.backward_correlation,
    )  # fmt: skip
    finite_width = plain.finite_width.with_deviation(Deviation(node.index, 1 / found[-1].units))
    moved = PendingGradient(x.extent, pairs, run.algebra.number(), finite_width=finite_width, doubt=plain.doubt)
    noise = plain.noise.with_cause(run.algebra.cause(), 2 * moved.mean_squared_correlation / x.extent.units)
    back.send(index, replace(moved, noise=noise))
