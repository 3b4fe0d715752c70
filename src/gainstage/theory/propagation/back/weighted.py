"""Backward through weights: each input gathers from all outputs that it reaches."""

from __future__ import annotations

import math
from dataclasses import replace

from gainstage.errors import GainstageError
from gainstage.graph import Node, Operation
from gainstage.theory.activations import Array
from gainstage.theory.propagation import recurrent
from gainstage.theory.propagation.back.flows import Backward, hand_on
from gainstage.theory.propagation.chance import Chance, Deviation
from gainstage.theory.propagation.geometry import windows
from gainstage.theory.propagation.pairs import Pairs
from gainstage.theory.propagation.run import Run
from gainstage.theory.propagation.signal import Flow, Law, Signal
from gainstage.theory.propagation.weighted import arranged, puts_heads_together
from gainstage.theory.propagation.weights import mixing
from gainstage.theory.windows import Window

__all__ = ["linear", "through_time"]

_FEW = 1e-3  # of a level: less is not followed


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
    lighter = (2 - by.scatter * fan_in) / max(fan_out, 1.0)  # squares of weights that are not Gaussian scatter less
    own = 0.0 if by.isometric else max(2 * likeness - lighter, 0.0) / max(seen.extent.units, 1)
    moved = replace(moved, noise=moved.noise.caused(run.ledger.cause(), own))
    back.send(index, moved)
    if (again := _met_again(back, node, flow, moved)) is not None:
        back.send(index, again)


def _met_again(back: Backward, node: Node, flow: Flow, moved: Flow) -> Flow | None:
    """What the taps of a channel add up to where the gates behind them opened for the very element that they read.

    The gradient at an element is Σ w_k g_k over its taps. Each g_k has come through a gate that answers to w_k times
    the element, so that on average it is g_k' w_k x: over all pairs of taps Σ w_k² w_l² x² E g_k' g_l'. Of full
    convolutions that is nothing, since every tap is one of many terms of what the gate sees.

    Args:
        flow: the gradient as it arrives.
        moved: what it comes to where gates and weights are independent.
    """
    run = back.run
    x, out, kernel = run.signals[node.inputs[0]], run.signals[node.index], node.kernel
    known = flow.answer is not None and (flow.answer.atom, flow.answer.node) == (flow.atom, node.index)
    answer = flow.answer.pairs if known and flow.answer is not None else back.answering(flow, out)
    if answer is None or kernel is None or x.law is None or x.parts or node.operation is not Operation.CONVOLUTION:
        return None
    by = mixing(run.graph, node, run.weights)
    counts = [_taps(window) for window in windows(node)]
    pairs = math.prod(square for _, square in counts) - math.prod(mean for mean, _ in counts)
    square = by.square / kernel.fan_in
    if _normalised_behind(run, node):  # E w_k² w_l² of weights that are divided by their norm
        square *= math.sqrt(max(1 - by.scatter, 0.2) / (1 + by.scatter))
    found = answer.scaled(pairs * kernel.fan_out / kernel.receptive * square**2)
    if found.near * x.variance < _FEW * moved.base.level:
        return None
    # Two elements of different sign lower and raise it: their pairs are as alike as they are, whatever the level is.
    base = replace(found * x.pairs.each(x.correlation), level=found.near, units=0.0)
    law = Law(x.law.source, x.law.function.shifted(-x.mean))
    return replace(moved, base=base, atom=run.ledger.number(), law=law)


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
    alike = g.positions / g.level if g.level > 0 else 0.0
    try:
        found = recurrent.stages(run, node, x, correlation=min(max(alike, -1.0), 1.0))
    except GainstageError as error:  # the forward pass has told why
        hand_on(back, index, replace(plain, doubt=plain.doubt or f"{node.label}: {error}"))
        return
    factor = 1.0
    for stage in found:
        factor *= stage.moments.backward * stage.units / stage.fan_in
    directions = max(plain.extent.units // found[-1].units, 1)
    pairs = Pairs(g.level * factor * directions, 0.0, g.positions * factor, g.examples * factor)
    noise = plain.noise.caused(run.ledger.cause(), 2 * pairs.likeness(x.extent) / x.extent.units)
    back.send(index, Flow(x.extent, pairs, run.ledger.number(), noise=noise, doubt=plain.doubt))
