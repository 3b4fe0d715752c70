"""Backward through weights: each input gathers from all outputs that it reaches."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gainstage.graph import Node, Operation
from gainstage.theory.activations import Array
from gainstage.theory.propagation import recurrent
from gainstage.theory.propagation.back.flows import Backward, hand_on
from gainstage.theory.propagation.back.laws import ONE
from gainstage.theory.propagation.chance import Chance, Deviation
from gainstage.theory.propagation.function import Function
from gainstage.theory.propagation.geometry import windows
from gainstage.theory.propagation.pairs import Pairs
from gainstage.theory.propagation.run import Run
from gainstage.theory.propagation.signal import Flow, Law, Signal
from gainstage.theory.propagation.weighted import arranged, puts_heads_together
from gainstage.theory.propagation.weights import mixing
from gainstage.theory.windows import Window

__all__ = ["linear", "through_time"]

_FEW = 2e-3  # of a level: less is not followed


def linear(back: Backward, node: Node, flow: Flow) -> None:
    """A linear layer or convolution."""
    run, index = back.run, node.inputs[0]
    x, plain = run.signals[index], back.plain(flow)
    by, kernel = mixing(run.graph, node, run.weights), node.kernel
    fan_in, fan_out = (kernel.fan_in, kernel.fan_out) if kernel is not None else (1.0, 1.0)
    share, shared, borders = 1.0, 1.0, list[Array | None]()
    for axis, window in enumerate(windows(node) if node.operation is Operation.CONVOLUTION else ()):
        terms, border = window.backward(plain.borders[axis] if axis < len(plain.borders) else None)
        share *= terms / window.kernel
        shared *= window.shared_back() / window.kernel
        borders.append(border)
    if node.operation is Operation.CONVOLUTION and not borders:
        share = min(plain.extent.positions / max(x.extent.positions, 1), 1.0)  # what strides leave out
    shared = min(shared, share)
    square = by.square / fan_in * fan_out * share  # Σ w² over what one input reaches
    if kernel is not None and _normalised_behind(run, node):
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
    if seen.extent != x.extent and seen.extent.positions == x.extent.units:  # tokens were mixed
        pairs = replace(pairs, units=pairs.positions, positions=pairs.units, near=pairs.units)
        plain = replace(plain, course=None)
    moved = Flow(
        x.extent, pairs, run.ledger.number(), noise=plain.noise, borders=tuple(borders), course=plain.course,
        chance=_gathered(node, plain, x), doubt=plain.doubt,
    )  # fmt: skip
    likeness = replace(moved, extent=seen.extent).likeness
    own = 0.0 if by.isometric else 2 * likeness / max(seen.extent.units, 1)
    moved = replace(moved, noise=moved.noise.caused(run.ledger.cause(), own))
    back.send(index, _met_again(back, node, flow, moved))


def _met_again(back: Backward, node: Node, flow: Flow, moved: Flow) -> Flow:
    """The gradient at an element where the gates behind a weight of few terms saw that very element.

    It is Σ w_k g_k over the outputs that it reaches, and each g_k has come through a gate that saw w_k x. Two of them
    that had one gradient, as taps of a channel have next to a mean over places, answer to w_k x and w_l x, which gives
    Σ w_k² w_l² x² E g_k' g_l' over all pairs. And the level of each follows w_k² x², which of n terms of weights that a
    batch norm divides by their norm is resp · 3 / (n + 2) · (x² - E x²). Of many terms both are nothing.

    Args:
        flow: the gradient as it arrives.
        moved: what it comes to where gates and weights are independent.
    """
    run = back.run
    x, out, kernel = run.signals[node.inputs[0]], run.signals[node.index], node.kernel
    known = flow.answer if flow.answer is not None and flow.answer.atom == flow.atom else None
    known = known if known is not None and known.node == node.index else None
    answer = known.pairs if known is not None else back.answering(flow, out)
    if answer is None or kernel is None or x.law is None or x.parts or not moved.base.level > 0:
        return moved
    by = mixing(run.graph, node, run.weights)
    counts = [_taps(window) for window in windows(node)]
    pairs = math.prod(square for _, square in counts) - math.prod(mean for mean, _ in counts)
    square, own = by.square / kernel.fan_in, 0.0
    if _normalised_behind(run, node):  # E w_k² w_l² of weights that are divided by their norm
        square *= math.sqrt(max(1 - by.scatter, 0.2) / (1 + by.scatter))
    if known is not None:
        own = known.response * (by.scatter + 1 / kernel.fan_in) / (1 + by.scatter)
    twice = pairs * kernel.fan_out / kernel.receptive * square**2 * answer.near * x.variance / moved.base.level
    if max(twice, abs(own)) < _FEW:
        return moved
    law = Law(x.law.source, _seen_again(x, 1 - own, max(twice, 0.0) + own), ONE)
    level = moved.base.level * (1 + max(twice, 0.0)) / run.ledger.expectation(law).second
    return replace(moved, base=replace(moved.base, level=level), law=law)


def _seen_again(x: Signal, rest: float, share: float) -> Function:
    """√(rest + share x²), of x less its mean, in units of its spread."""
    assert x.law is not None
    inner = x.law.function

    def value(of: Array) -> Array:
        return np.asarray(np.sqrt(np.maximum(rest + share * (inner.value(of) - x.mean) ** 2 / x.variance, 0.0)))

    return Function(("seen", rest, share, x.mean, x.variance, inner.key), value, np.zeros_like, inner.kinks)


def _taps(window: Window) -> tuple[float, float]:
    """Along one axis: by how many taps an element is read, on average, and the mean square of that."""
    mean, profile = window.backward(None)
    return mean, mean**2 * (1.0 if profile is None else float((profile**2).mean()))


def _gathered(node: Node, flow: Flow, x: Signal) -> Chance:
    """What correlations of gradients have by chance behind a weight: each is a sum over few units."""
    along = windows(node) if node.operation is Operation.CONVOLUTION else ()
    kernel = node.kernel
    out = kernel.fan_out / math.prod(w.kernel for w in along) if kernel is not None else flow.extent.units
    before = flow.chance.and_also(Deviation(node.index, 1 / max(out, 1.0)))
    return replace(before, pitch=x.chance.pitch).gathered([w.kernel for w in along], [1 for _ in along])


def _normalised_behind(run: Run, node: Node) -> bool:
    """Whether a batch norm reads this node."""
    readers = (run.graph.nodes[i] for i in run.graph.consumers[node.index])
    return any(reader.function == "batch_norm" for reader in readers)


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
    noise = plain.noise.caused(run.ledger.cause(), 2 * pairs.likeness(x.extent) / x.extent.units)
    back.send(index, Flow(x.extent, pairs, run.ledger.number(), noise=noise, doubt=plain.doubt))
