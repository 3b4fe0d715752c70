"""Backward through weights: each input gathers from all outputs that it reaches."""

from __future__ import annotations

import math
from dataclasses import replace

from gainstage.graph import Node, Operation
from gainstage.propagation import recurrent
from gainstage.propagation.back.flows import Backward, hand_on
from gainstage.propagation.back.small_fan_in import met_again
from gainstage.propagation.finite_width import Chance, Deviation
from gainstage.propagation.function import IDENTITY
from gainstage.propagation.geometry import windows
from gainstage.propagation.pairs import Pairs
from gainstage.propagation.run import Run
from gainstage.propagation.signal import Flow, Law, Signal
from gainstage.propagation.weighted import arranged, puts_heads_together
from gainstage.propagation.weights import mixing
from gainstage.theory.activations import Array

__all__ = ["linear", "through_time"]


def linear(back: Backward, node: Node, flow: Flow) -> None:
    """A linear layer or convolution."""
    run, index = back.run, node.inputs[0]
    by, kernel = mixing(run.graph, node, run.weights), node.kernel
    flow = _of_pairs(node, flow) if by.paired_outputs else flow
    x, plain = run.signals[index], back.plain(flow)
    fan_in, fan_out = (kernel.fan_in, kernel.fan_out) if kernel is not None else (1.0, 1.0)
    share, shared, borders = 1.0, 1.0, list[Array | None]()
    for axis, window in enumerate(windows(node) if node.operation is Operation.CONVOLUTION else ()):
        if by.one_tap and window.stride == 1:
            borders.append(plain.borders[axis] if axis < len(plain.borders) else None)
            continue
        terms, border = window.backward(plain.borders[axis] if axis < len(plain.borders) else None)
        share *= terms / window.kernel
        shared *= window.shared_back() / window.kernel
        borders.append(border)
    if node.operation is Operation.CONVOLUTION and not borders:
        share = min(plain.extent.positions / max(x.extent.positions, 1), 1.0)  # what strides leave out
    shared = min(shared, share)
    square = by.square / fan_in * fan_out * share  # Σ w² over what one input reaches
    normed = _normalised_behind(run, node)
    if kernel is not None and normed:
        square *= max(1 - by.scatter, 0.2)  # a channel of small weights was divided by little, but passes little on
    column = (by.weight_mean * fan_out * share) ** 2
    g = plain.base
    apart = square - by.weight_mean**2 * fan_out * share

    def pair(same: float, other: float, terms: float) -> float:
        part = terms / share if share > 0 else 0.0
        return part * (apart * same + by.weight_mean**2 * fan_out * share * (same - other) + column * other)

    seen = x
    if kernel is not None and node.operation is Operation.LINEAR:
        seen = arranged(x, kernel.in_, heads=puts_heads_together(run, node))
    pairs = Pairs(
        pair(g.level, g.units, share), column * g.units, pair(g.positions, 0.0, shared),
        pair(g.examples, 0.0, shared), pair(g.near, 0.0, share),
    )  # fmt: skip
    turned = seen.extent != x.extent and seen.extent.positions == x.extent.units  # tokens were mixed
    if turned:
        pairs = replace(pairs, units=pairs.positions, positions=pairs.units, near=pairs.units)
        plain = replace(plain, course=None)
    chance = _gathered(node, plain, seen)
    if turned:
        chance = chance.turned()
    moved = Flow(
        x.extent, pairs, run.ledger.number(), noise=plain.noise, borders=tuple(borders), course=plain.course,
        chance=chance, doubt=plain.doubt,
    )  # fmt: skip
    likeness = replace(moved, extent=seen.extent).likeness
    lighter = (2 - by.scatter * fan_in) / max(fan_out, 1.0)  # squares of weights that are not Gaussian scatter less
    own = 0.0 if by.isometric else max(2 * likeness - lighter, 0.0) / max(seen.extent.units, 1)
    moved = replace(moved, noise=moved.noise.caused(run.ledger.cause(), own))
    back.send(index, met_again(back, node, flow, moved, normed=normed))


def _of_pairs(node: Node, flow: Flow) -> Flow:
    """What opposite units send back: the gradients of the two differ in sign, and by f'(h) and f'(-h)."""
    if flow.law is None or flow.law.function.key == IDENTITY.key:
        told = f"{node.label}: pairs of opposite units send back gradients that are not followed"
        return replace(flow, doubt=flow.doubt or told)
    return replace(flow, law=Law(flow.law.source, flow.law.function.mirrored(1.0)))


def _gathered(node: Node, flow: Flow, x: Signal) -> Chance:
    """What correlations of gradients have by chance behind a weight: each sums few units, or units that are equal."""
    along = windows(node) if node.operation is Operation.CONVOLUTION else ()
    kernel = node.kernel
    out = kernel.fan_out / math.prod(w.kernel for w in along) if kernel is not None else flow.extent.units
    equal = min((flow.base.units / flow.base.level) ** 2, 1.0) if flow.base.level > 0 else 0.0
    before = flow.chance.and_also(Deviation(node.index, equal + (1 - equal) / max(out, 1.0)))
    found = replace(before, pitch=x.chance.pitch).gathered([w.kernel for w in along], [1 for _ in along])
    return found if kernel is not None and kernel.groups > 1 else found.mixed(node.index, max(x.extent.units, 1))


def _normalised_behind(run: Run, node: Node) -> bool:
    """Whether a batch norm reads this node and divides by what it reads."""
    readers = (run.graph.nodes[i] for i in run.graph.consumers[node.index])
    return any(r.function == "batch_norm" and dict(r.settings).get("training") != 0 for r in readers)


def through_time(back: Backward, node: Node, flow: Flow) -> None:
    """A recurrent layer, all steps and layers of it."""
    run, index = back.run, node.inputs[0]
    x, plain = run.signals[index], back.plain(flow)
    g = plain.base
    alike, near = (pair / g.level if g.level > 0 else 0.0 for pair in (g.positions, g.near))
    found = recurrent.stages_back(run, node, alike, near)
    if not found:  # the forward pass has told why
        hand_on(back, index, replace(plain, doubt=plain.doubt or f"{node.label}: its layers are not known"))
        return
    directions = max(plain.extent.units // found[-1].units, 1)
    factor = 1.0
    for stage in found:  # at the input of every layer the gradients of both directions add up
        factor *= directions * stage.moments.backward * stage.units / stage.fan_in
    level, first = g.level * factor, found[0].moments
    examples = level * g.examples / g.level if g.level > 0 else 0.0
    pairs = Pairs(
        level, 0.0, level * first.backward_correlation, min(examples, level), level * first.backward_near,
        apart=min(examples, level) * first.backward_correlation,
    )  # fmt: skip
    chance = plain.chance.and_also(Deviation(node.index, 1 / found[-1].units))
    moved = Flow(x.extent, pairs, run.ledger.number(), chance=chance, doubt=plain.doubt)
    noise = plain.noise.caused(run.ledger.cause(), 2 * moved.likeness / x.extent.units)
    back.send(index, replace(moved, noise=noise))
