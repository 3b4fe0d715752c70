"""Backward rules: the second moment of the loss's gradient at every output, and at every parameter.

A gradient is taken to be independent of the signal that it meets, as is usual; what is not independent (a relu behind
max pooling, a tensor that takes two ways into one sum) is carried along as the function of a source that it is.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from gainstage.errors import GainstageError
from gainstage.graph import Node, Operation
from gainstage.theory.activations import Array
from gainstage.theory.composed import is_scalar
from gainstage.theory.propagation import attention, recurrent
from gainstage.theory.propagation.function import Function
from gainstage.theory.propagation.geometry import Window, spatial, windows
from gainstage.theory.propagation.ledger import lifted
from gainstage.theory.propagation.normalization import division
from gainstage.theory.propagation.pairs import Extent, Pairs
from gainstage.theory.propagation.pooling import window_size
from gainstage.theory.propagation.run import Run
from gainstage.theory.propagation.signal import Flow, Law, Signal
from gainstage.theory.propagation.weighted import arranged, puts_heads_together
from gainstage.theory.propagation.weights import mixing, scale_of
from gainstage.theory.softmax import log_softmax_moments, softmax_moments

__all__ = ["Backward", "Gradient", "backward"]


@dataclass(frozen=True, slots=True)
class Gradient:
    """A gradient by one node's output, worked out: second moments of elements and of pairs.

    Args:
        extent: of the output.
        pairs: of the gradient.
        noise: variance of the log of its level between draws.
        doubt: why it is doubtful.
    """

    extent: Extent
    pairs: Pairs
    noise: float = 0.0
    doubt: str = ""


@dataclass
class Backward:
    """One pass back through a graph.

    Args:
        run: the forward pass.
        flows: what has arrived at each node so far.
        gradients: at each node, worked out.
    """

    run: Run
    flows: dict[int, list[Flow]] = field(default_factory=lambda: defaultdict(list))
    gradients: dict[int, Gradient] = field(default_factory=dict)

    def send(self, node: int, flow: Flow) -> None:
        """A gradient arrives at a node's output."""
        signal = self.run.signals.get(node)
        if signal is None or not self.run.graph.nodes[node].from_input:
            if signal is not None:
                self.flows[node].append(flow)
            return
        self.flows[node].append(flow)

    def value(self, flow: Flow) -> Pairs:
        """Second moments of a gradient and of its pairs."""
        base = flow.base.scaled(flow.factor**2)
        if flow.law is None:
            return base
        found = self.run.ledger.expectation(flow.law)
        source = self.run.ledger.source(flow.law.source)
        factor = source.pairs.each(lambda v: found.pair(source.correlation(v)))
        return base * replace(factor, level=found.second)

    def noise(self, flow: Flow) -> float:
        """Variance of the log of its level between draws."""
        if flow.law is None:
            return flow.noise
        found = self.run.ledger.expectation(flow.law)
        source = self.run.ledger.source(flow.law.source)
        uneven = max(found.fourth / found.second**2 - 1, 0.0) if found.second > 0 else 0.0
        alike = 1 + 2 * flow.base.likeness(flow.extent)
        return flow.noise + uneven * alike * source.pairs.likeness(source.extent) / flow.extent.units

    def plain(self, flow: Flow) -> Flow:
        """The same gradient with nothing left to be worked out."""
        if flow.law is None and flow.factor == 1.0:
            return flow
        return replace(
            flow, base=self.value(flow), atom=self.run.ledger.number(), factor=1.0, law=None, largest_of=1,
            noise=self.noise(flow),
        )  # fmt: skip

    def arrivals(self, node: int) -> list[Flow]:
        """The independent gradients that arrive at a node: what comes from one on several ways adds up."""
        groups: dict[int, list[Flow]] = defaultdict(list)
        for flow in self.flows.get(node, ()):
            groups[flow.atom].append(flow)
        return [one for flows in groups.values() for one in _together(flows)]


_ONE = Function(("one",), lambda x: x * 0 + 1, lambda x: x * 0, affine=(0.0, 1.0))


def _together(flows: list[Flow]) -> list[Flow]:
    """One gradient that arrives on several ways: its factors add up where they are functions of one source."""
    sources = {f.law.source for f in flows if f.law is not None}
    if len(flows) == 1 or len(sources) > 1:
        return flows
    if not sources:
        return [replace(flows[0], factor=sum(f.factor for f in flows))]
    functions = [(f.law.function if f.law is not None else _ONE).scaled(f.factor) for f in flows]
    total = functions[0]
    for function in functions[1:]:
        total = total + function
    return [replace(flows[0], factor=1.0, law=Law(sources.pop(), total))]


def _independent(back: Backward, flows: list[Flow]) -> Flow:
    """The sum of independent gradients; what depends on one source goes on depending on it."""
    if len(flows) == 1:
        return flows[0]
    sources = {f.law.source for f in flows if f.law is not None}
    together = len(sources) == 1
    if not together:
        flows = [back.plain(f) for f in flows]
    values = [back.value(f).level for f in flows]
    whole = sum(values)
    shares = [v / whole if whole > 0 else 1 / len(flows) for v in values]
    noise = sum(s * s * back.noise(f) for s, f in zip(shares, flows, strict=True))
    largest = flows[max(range(len(flows)), key=lambda i: shares[i])]
    doubt = next((f.doubt for f in flows if f.doubt), "")
    base = flows[0].base.scaled(flows[0].factor ** 2)
    for other in flows[1:]:
        base = base + other.base.scaled(other.factor**2)
    law = None
    if together and base.level > 0:
        weights = [f.base.level * f.factor**2 / base.level for f in flows]
        functions = [f.law.function if f.law is not None else _ONE for f in flows]
        law = Law(sources.pop(), _root_mean_square(functions, weights))
    count = max(len(f.parts) for f in flows)
    parts = tuple(sum(s * (f.parts[i] if f.parts else 1.0) for s, f in zip(shares, flows, strict=True))
                  for i in range(count))  # fmt: skip
    return Flow(
        flows[0].extent, base, back.run.ledger.number(), law=law, noise=noise, borders=largest.borders, parts=parts,
        doubt=doubt,
    )  # fmt: skip


def _root_mean_square(functions: list[Function], weights: list[float]) -> Function:
    """√Σ w f²: the factor of a sum of independent gradients that are multiplied by functions of one source."""
    kinks = tuple(sorted({kink for f in functions for kink in f.kinks}))

    def value(x: Array) -> Array:
        squares = (w * f.value(x) ** 2 for w, f in zip(weights, functions, strict=True))
        return np.asarray(np.sqrt(sum(squares)))

    return Function(
        ("rms", *((w, f.key) for w, f in zip(weights, functions, strict=True))), value, np.zeros_like, kinks
    )


def _winning(source: Signal, places: float) -> Function:
    """√ of how much likelier than on average an element is the largest of its window, given what it is."""
    from scipy.special import ndtr

    mean, spread = source.mean, math.sqrt(source.variance) or 1.0
    c = min(max(source.correlation(source.pairs.near), 0.0), 0.999)
    # All others are below z when their own parts are, given what they have in common: √c z + √(1 - c) w.
    w, weight = np.polynomial.hermite_e.hermegauss(24)

    def value(x: Array) -> Array:
        z = math.sqrt(1 - c) * (x[..., None] - mean) / spread
        return np.asarray(np.sqrt(places * ndtr(z - math.sqrt(c) * w) ** (places - 1) @ (weight / weight.sum())))

    return Function(("winning", mean, spread, c, places), value, np.zeros_like)


_QUANTILES = 199
_SPAN = np.linspace(-14.0, 14.0, 1121)
_BESIDE = 1e-9


def _given(function: Function, part: Function, mean: float, spread: float, source: Signal) -> Function:
    """√E f(part + rest)² over an independent rest: what a function of a sum is, given one of its terms.

    Tabulated over the source, since streams nest it block after block.
    """
    from scipy.special import ndtri

    rest = mean + spread * ndtri((np.arange(_QUANTILES) + 0.5) / _QUANTILES)

    kinks = np.asarray(part.kinks)
    beside = _BESIDE * (1 + np.abs(kinks))
    span = source.mean + math.sqrt(source.variance) * _SPAN
    places = np.sort(np.concatenate((span, kinks - beside, kinks + beside)))
    values = np.sqrt((function.value(part.value(places)[:, None] + rest) ** 2).mean(-1))
    key = ("given", function.key, part.key, mean, spread, source.mean, source.variance)
    return Function(key, lambda x: np.interp(x, places, values), np.zeros_like, part.kinks)


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
        flow = _independent(back, arrived)
        pairs = back.value(flow)
        back.gradients[node.index] = Gradient(run.signals[node.index].extent, pairs, back.noise(flow), flow.doubt)
        if any(i in run.signals for i in node.inputs):
            # The parts of a tensor that was put together tell what each gradient depends on; the whole does not.
            for one in arrived if node.operation is Operation.CONCATENATION else (flow,):
                _RULES.get(node.operation, _passed)(back, node, one)
    return back


# -- what passes or is shared out ------------------------------------------------------------------------------------


def _to(back: Backward, index: int, flow: Flow) -> None:
    """Hand a gradient on; where the operand was repeated, its copies' gradients add up."""
    signal = back.run.signals[index]
    flow = _turned(back, flow, signal.extent)
    ratio = flow.extent.count / max(signal.extent.count, 1)
    if ratio > 1.001 and signal.extent.units <= flow.extent.units:
        plain = back.plain(flow)
        k, shared = plain.base, plain.base
        if signal.extent.positions == 1 < flow.extent.positions:
            shared = replace(shared, level=k.positions)
        elif signal.extent.units == 1 < flow.extent.units:
            shared = replace(shared, level=k.units)
        elif signal.extent.examples == 1 < flow.extent.examples:
            shared = replace(shared, level=k.examples)
        else:
            shared = replace(shared, level=0.0)
        level = ratio * k.level + ratio * (ratio - 1) * shared.level
        grown = Pairs(level, ratio * k.units, ratio * k.positions, ratio * k.examples)
        flow = replace(plain, base=grown, atom=back.run.ledger.number(), borders=())
    elif ratio < 0.999:  # a part of the operand: the rest gets nothing from here
        plain = back.plain(flow)
        flow = replace(plain, base=plain.base.scaled(ratio), atom=back.run.ledger.number(), borders=())
    back.send(index, replace(flow, extent=signal.extent))


def _turned(back: Backward, flow: Flow, extent: Extent) -> Flow:
    """Units and positions exchanged where a transposition has done so, which has no node of its own."""
    mine = flow.extent
    if mine.units == mine.positions or (mine.units, mine.positions) != (extent.positions, extent.units):
        return flow
    plain = back.plain(flow)
    return replace(plain, base=plain.base.turned(), extent=mine.turned(), borders=())


def _passed(back: Backward, node: Node, flow: Flow) -> None:
    for index in node.inputs:
        if index in back.run.signals:
            _to(back, index, flow)


def _taken(back: Backward, node: Node, flow: Flow) -> None:
    """Elements of the output come from one operand each; what is padded comes from none."""
    live = [i for i in node.inputs if i in back.run.signals]
    repeats = "repeat" in node.name.lower() or "tile" in node.name.lower()
    if "pad" in node.name.lower():
        flow = _cropped(back, node, flow)
    signals = [back.run.signals[i] for i in live]
    parted = flow.largest_of > 1 or len(flow.parts) == sum(max(len(signal.parts), 1) for signal in signals)
    if node.operation is Operation.CONCATENATION and len(live) > 1 and parted:
        _parted(back, live, flow)
        return
    for index, signal in zip(live, signals, strict=True):
        if flow.extent.count <= signal.extent.count or (len(live) == 1 and repeats):
            _to(back, index, flow)
        else:
            back.send(index, replace(back.plain(flow), extent=signal.extent, borders=()))


def _parted(back: Backward, live: list[int], flow: Flow) -> None:
    """A tensor that was put together hands each part its own gradient."""
    signals = [back.run.signals[i] for i in live]
    counts = [max(len(signal.parts), 1) for signal in signals]
    plain, start = back.plain(flow), 0
    levels = plain.parts or (1.0,) * sum(counts)
    for index, signal, count in zip(live, signals, counts, strict=True):
        mine = levels[start : start + count]
        units = [part.extent.units for part in signal.parts or (signal,)]
        level = sum(u * n for u, n in zip(mine, units, strict=True)) / sum(units)
        inner = tuple(u / level for u in mine) if count > 1 and level > 0 else ()
        sent = replace(
            plain, base=plain.base.scaled(level), atom=back.run.ledger.number(), extent=signal.extent, borders=(),
            parts=inner, largest_of=flow.largest_of,
        )  # fmt: skip
        if flow.largest_of > 1 and signal.law is not None:
            won = _winning(back.run.ledger.source(signal.law.source), flow.largest_of)
            sent = replace(sent, law=Law(signal.law.source, won), largest_of=1)
        back.send(index, sent)
        start += count


def _cropped(back: Backward, node: Node, flow: Flow) -> Flow:
    """What reaches the middle of a padded image; the gradient of the padding is lost."""
    before, factor, kept = spatial(back.run.graph.nodes[node.inputs[0]]), 1.0, list[Array | None]()
    for size, border in zip(before, flow.borders, strict=False):
        if border is None or border.size <= size:
            kept.append(border)
            continue
        start = (border.size - size) // 2
        middle = border[start : start + size]
        factor *= float(middle.mean())
        kept.append(middle / middle.mean() if middle.mean() > 0 else None)
    plain = back.plain(flow)
    return replace(plain, base=plain.base.scaled(factor), atom=back.run.ledger.number(), borders=tuple(kept))


def _unknown(back: Backward, node: Node, flow: Flow) -> None:
    doubt = flow.doubt or f"{node.label}: there is no rule for this operation"
    _passed(back, node, replace(back.plain(flow), doubt=doubt))


def _add(back: Backward, node: Node, flow: Flow) -> None:
    live = [i for i in node.inputs if i in back.run.signals]
    sign = -1.0 if node.name in ("sub", "rsub", "Subtract") else 1.0
    if len(live) == 1 and len(node.inputs) == 1:
        _to(back, live[0], replace(flow, factor=flow.factor * (1 + sign)))
        return
    for place, index in enumerate(live):
        sent = _through_sum(back, node, index, flow)
        _to(back, index, sent if place == 0 else replace(sent, factor=sign * sent.factor))


def _through_sum(back: Backward, node: Node, index: int, flow: Flow) -> Flow:
    """A gradient that depends on a sum depends on its terms: behind relu(relu(x) + y), it comes where x is positive."""
    ledger = back.run.ledger
    whole, term = back.run.signals[node.index], back.run.signals[index]
    if flow.law is None or whole.law is None or flow.law.source != whole.law.source or term.law is None:
        return flow
    if whole.law.source == term.law.source or term.law.function.affine is not None or term.parts:
        return flow
    mean, variance = whole.mean - term.mean, max(whole.variance - term.variance, 0.0)
    source = ledger.source(term.law.source)
    given = _given(flow.law.function, term.law.function, mean, math.sqrt(variance), source)
    return replace(flow, law=Law(term.law.source, given), atom=ledger.number())


def _multiply(back: Backward, node: Node, flow: Flow) -> None:
    run = back.run
    live = [i for i in node.inputs if i in run.signals]
    divide = node.name in ("div", "true_divide", "Divide", "TrueDivide")
    for index in live:
        others = [run.signals[i] for i in live if i != index] or [run.signals[index]]
        other = others[0]
        mine = run.signals[index]
        if divide and index != live[0]:  # d(x / y) = -x / y²
            pairs = run.signals[node.index].pairs.scaled(1 / max(mine.pairs.level, 1e-300))
        elif divide:
            pairs = lifted(other, flow.extent).pairs.each(lambda v: 1 / v if v > 0 else 0.0)
        else:
            same = other.law is not None and mine.law is not None and other.law.source == mine.law.source
            if same and other.law is not None and not other.parts and flow.law is None:
                twice = 2.0 if len(live) == 1 else 1.0
                _to(back, index, replace(flow, law=other.law, factor=flow.factor * twice))
                continue
            pairs = lifted(run.ledger.merged(other), flow.extent).pairs
        plain = back.plain(flow)
        noise = plain.noise + other.noise
        _to(back, index, replace(plain, base=plain.base * pairs, atom=run.ledger.number(), noise=noise))


def _activation(back: Backward, node: Node, flow: Flow) -> None:
    run, index = back.run, node.inputs[0]
    x = run.signals[index]
    if node.function == "glu":
        gate = run.functions.of(replace(node, function="sigmoid"))
        half = run.ledger.fresh(run.ledger.merged(x))
        if gate is not None and half.law is not None:
            opened = run.ledger.expectation(Law(half.law.source, Function.of(gate)))
            plain = back.plain(flow)
            factor = (opened.second + half.pairs.level * opened.slope_second) / 2
            _to(back, index, replace(plain, base=plain.base.scaled(2 * factor), atom=run.ledger.number()))
        return
    found = run.functions.of(node)
    if found is None:
        _unknown(back, node, flow)
        return
    function = Function.of(found)
    if x.parts or x.law is None:
        _to(back, index, _over_parts(back, flow, x, function))
        return
    if flow.law is not None and flow.law.source != x.law.source:
        flow = back.plain(flow)
    slope = function.slope_after(x.law.function)
    total = slope if flow.law is None else flow.law.function * slope
    _to(back, index, replace(flow, law=Law(x.law.source, total)))


def _over_parts(back: Backward, flow: Flow, x: Signal, function: Function) -> Flow:
    """Through a function of several signals side by side: the mean of their factors."""
    plain, total = back.plain(flow), Pairs(0.0)
    parts = x.parts or (x,)
    units = sum(p.extent.units for p in parts)
    for part in parts:
        if part.law is None:
            part = back.run.ledger.fresh(part)
        assert part.law is not None
        found = back.run.ledger.expectation(Law(part.law.source, function.slope_after(part.law.function)))
        source = back.run.ledger.source(part.law.source)
        factor = replace(source.pairs.each(lambda v: found.pair(source.correlation(v))), level=found.second)  # noqa: B023
        total = total + factor.scaled(part.extent.units / units)
    return replace(plain, base=plain.base * total, atom=back.run.ledger.number())


def _scale(back: Backward, node: Node, flow: Flow) -> None:
    run = back.run
    index = next(i for i in node.inputs if i in run.signals)
    if is_scalar(node):
        _to(back, index, replace(flow, factor=flow.factor * dict(node.settings)["other"]))
        return
    if node.function in ("cos", "sin"):
        _to(back, index, replace(flow, factor=flow.factor * math.sqrt(0.5)))
        return
    plain = back.plain(flow)
    pairs = plain.base
    for use in node.uses:
        found = scale_of(run.graph, replace(use, slot="scale"), run.weights)
        pairs = replace(pairs.scaled(found.second_moment), units=pairs.units * found.mean**2)
    for constant in (i for i in node.inputs if i in run.signals and i != index):
        pairs = pairs * lifted(run.signals[constant], plain.extent).pairs
    _to(back, index, replace(plain, base=pairs, atom=run.ledger.number()))


def _dropout(back: Backward, node: Node, flow: Flow) -> None:
    p = dict(node.settings).get("p", 0.0) if back.run.training else 0.0
    if not 0 < p < 1:
        _passed(back, node, flow)
        return
    base = replace(flow.base, level=flow.base.level / (1 - p))
    _passed(back, node, replace(flow, base=base, atom=back.run.ledger.number()))


# -- weights ---------------------------------------------------------------------------------------------------------


def _linear(back: Backward, node: Node, flow: Flow) -> None:
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
    if kernel is not None and kernel.groups > 1 and _normalised_behind(run, node):
        square *= max(1 - 2 / fan_in, 0.2)  # a channel of small weights was divided by little, but passes little on
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
    likeness = min(pairs.likeness(seen.extent) + 1 / max(fan_out, 1.0), 1.0)
    own = 0.0 if by.isometric else 2 * likeness / max(seen.extent.units, 1)
    moved = Flow(
        x.extent, pairs, run.ledger.number(), noise=plain.noise + own, borders=tuple(borders), doubt=plain.doubt
    )
    back.send(index, moved)


def _normalised_behind(run: Run, node: Node) -> bool:
    """Whether a batch norm reads this node."""
    readers = (run.graph.nodes[i] for i in run.graph.consumers[node.index])
    return any(reader.function == "batch_norm" for reader in readers)


def _recurrent(back: Backward, node: Node, flow: Flow) -> None:
    run, index = back.run, node.inputs[0]
    x, plain = run.signals[index], back.plain(flow)
    g = plain.base
    alike = g.positions / g.level if g.level > 0 else 0.0
    try:
        found = recurrent.stages(run, node, x, correlation=min(max(alike, -1.0), 1.0))
    except GainstageError as error:  # the forward pass has told why
        _to(back, index, replace(plain, doubt=plain.doubt or f"{node.label}: {error}"))
        return
    factor = 1.0
    for stage in found:
        factor *= stage.moments.backward * stage.units / stage.fan_in
    directions = max(plain.extent.units // found[-1].units, 1)
    pairs = Pairs(g.level * factor * directions, 0.0, g.positions * factor, g.examples * factor)
    noise = plain.noise + 2 * pairs.likeness(x.extent) / x.extent.units
    back.send(index, Flow(x.extent, pairs, run.ledger.number(), noise=noise, doubt=plain.doubt))


# -- normalisation, pooling, means -----------------------------------------------------------------------------------


def _normalization(back: Backward, node: Node, flow: Flow) -> None:
    run, index = back.run, node.inputs[0]
    x, plain = run.signals[index], back.plain(flow)
    parts = x.parts if node.function == "batch_norm" and x.parts else (x,)
    g, total, noise, levels = plain.base, Pairs(0.0), 0.0, list[float]()
    along = _along(back, node, flow)
    units = sum(p.extent.units for p in parts)
    for part in parts:
        merged = part if part.parts == () else run.ledger.merged(part)
        by = division(run, node, merged)
        taken = 0.0
        if not by.frozen and by.over > 1:
            if node.function == "batch_norm":
                taken = g.over_batch(plain.extent) + along.over_batch(plain.extent)
            elif node.function == "instance_norm":
                taken = g.over_positions(plain.extent.positions) + along.over_positions(plain.extent.positions)
            elif node.function == "rms_norm":
                taken = g.level / by.over
            else:
                taken = g.level * 2 / by.over + g.units * (1 - 1 / by.over)
        factor = by.back * by.scale
        share = part.extent.units / units
        # What a batch's mean takes off, all of its pairs lose.
        mean = g.over_batch(plain.extent) if node.function == "batch_norm" and not by.frozen else 0.0
        found = Pairs(
            max(g.level - taken, 0.0), g.units * by.scale_mean**2 / max(by.scale, 1e-300),
            g.positions - mean, g.examples - mean, g.near - mean,
        ).scaled(factor)  # fmt: skip
        total = total + found.scaled(share)
        levels.append(found.level)
        noise += share * (0.0 if by.frozen else merged.noise)
    relative = tuple(v / total.level for v in levels) if x.parts and total.level > 0 else ()
    sent = replace(plain, base=total, atom=run.ledger.number(), noise=plain.noise + noise, parts=relative)
    _to(back, index, sent)


def _along(back: Backward, node: Node, flow: Flow) -> Pairs:
    """Second moments of gradient times normalised signal, which a normalisation takes off as well.

    They are not independent: a relu lets the gradient through where the signal is positive.
    """
    out = back.run.signals[node.index]
    level = out.pairs.level or 1.0
    if out.parts or out.law is None or (flow.law is not None and flow.law.source != out.law.source):
        return (back.value(flow) * out.pairs).scaled(1 / level)
    through = flow.law.function if flow.law is not None else _ONE
    both = replace(flow, law=Law(out.law.source, through * out.law.function))
    return back.value(both).scaled(1 / level)


def _pooling(back: Backward, node: Node, flow: Flow) -> None:
    run, index = back.run, node.inputs[0]
    x, plain = run.signals[index], back.plain(flow)
    size = window_size(node, x.extent, plain.extent)
    g = plain.base
    borders = tuple(
        window.backward(plain.borders[axis] if axis < len(plain.borders) else None)[1]
        for axis, window in enumerate(windows(node))
    )
    covering = size * plain.extent.positions / max(x.extent.positions, 1)  # windows over one place
    found = windows(node)
    if found:
        covering = math.prod(w.backward(None)[0] for w in found)
    if node.function == "max":
        level = g.level * plain.extent.positions / max(x.extent.positions, 1)
        if covering > 1:  # one place may be the largest of several windows, which are neighbours
            level += _twice(found, size) * g.near
        share = level / g.level if g.level > 0 else 0.0
        pairs = Pairs(level, g.units * share**2, g.positions * share**2, g.examples * share**2)
        law = None if x.law is None else Law(x.law.source, _winning(run.ledger.source(x.law.source), size))
        later = round(size) if x.parts else 1  # each part tells then how likely it wins
        moved = Flow(x.extent, pairs, run.ledger.number(), law=law, largest_of=max(later, 1), noise=plain.noise,
                     borders=borders, doubt=plain.doubt)  # fmt: skip
        back.send(index, moved)
        return
    level = (covering * g.level + covering * max(covering - 1, 0.0) * g.positions) / size**2
    whole = plain.extent.positions == 1  # every place gets the same
    scale = (covering / size) ** 2
    pairs = Pairs(level, g.units * scale, level if whole else g.positions * scale, g.examples * scale)
    back.send(index, Flow(x.extent, pairs, run.ledger.number(), noise=plain.noise, borders=borders, doubt=plain.doubt))


def _twice(along: tuple[Window, ...], size: float) -> float:
    """Ordered pairs of windows over one place, times the chance that it is the largest of both."""
    square, shared = 1.0, 0.0
    for window in along:
        mean, profile = window.backward(None)
        counts = np.full(1, mean) if profile is None else mean * profile
        square *= float((counts**2).mean())
        shared = max(shared, 1 - window.stride / window.kernel)
    whole = math.prod(window.backward(None)[0] for window in along)
    return max(square - whole, 0.0) / (size * (2 - shared))


def _reduction(back: Backward, node: Node, flow: Flow) -> None:
    run, index = back.run, node.inputs[0]
    x, plain = run.signals[index], back.plain(flow)
    count = max(x.extent.count // max(plain.extent.count, 1), 1)
    factor = 1.0 if node.function.lower() in ("sum", "nansum") else 1 / count**2
    g = plain.base.scaled(factor)
    units_gone = node.unit_axis is None or (x.extent.units > 1 and plain.extent.units == 1)
    pairs = Pairs(g.level, g.level if units_gone else g.units, g.positions if units_gone else g.level, g.examples)
    back.send(index, Flow(x.extent, pairs, run.ledger.number(), noise=plain.noise, doubt=plain.doubt))


def _resampling(back: Backward, node: Node, flow: Flow) -> None:
    run, index = back.run, node.inputs[0]
    x, plain = run.signals[index], back.plain(flow)
    ratio = plain.extent.positions / max(x.extent.positions, 1)
    g = plain.base
    if "nearest" in node.name or ratio <= 1:
        level = ratio * g.level + ratio * max(ratio - 1, 0) * g.positions
    else:  # each place is spread over about ratio outputs with weights of square sum (2/3)² each axis
        level = ratio * (4 / 9) * g.level + (ratio**2 - ratio * 4 / 9) * g.positions
    pairs = Pairs(level, ratio * g.units, ratio**2 * g.positions, ratio * g.examples)
    back.send(index, Flow(x.extent, pairs, run.ledger.number(), noise=plain.noise, doubt=plain.doubt))


# -- softmax and products --------------------------------------------------------------------------------------------


def _softmax(back: Backward, node: Node, flow: Flow) -> None:
    run, index = back.run, node.inputs[0]
    x, shares, plain = run.signals[index], run.signals[node.index], back.plain(flow)
    g = plain.base
    axis = int(dict(node.settings).get("axis", len(node.shape) - 1))
    count = node.shape[axis] if axis < len(node.shape) else x.extent.units
    own = max(g.level - g.units, 0.0)
    if node.function == "log_softmax":
        factor = log_softmax_moments(attention.row_variance(x), count).backward
        level = own * factor
    else:
        causal = shares.zero > 0
        factor = softmax_moments(attention.row_variance(x), count, causal=causal).jacobian / count
        level = own * factor
    pairs = Pairs(level, -level / max(count - 1, 1), 0.0, 0.0)
    back.send(index, Flow(x.extent, pairs, run.ledger.number(), noise=plain.noise, doubt=plain.doubt))


def _product(back: Backward, node: Node, flow: Flow) -> None:
    run, plain = back.run, back.plain(flow)
    live = [i for i in node.inputs if i in run.signals]
    if node.function == "dynamic_convolution" or not live:
        _unknown(back, node, flow)
        return
    first, second = live[0], live[-1]
    x, y = run.ledger.merged(run.signals[first]), run.ledger.merged(run.signals[second])
    g = plain.base
    out_units = node.shape[-1] if node.shape else 1
    rows = node.shape[-2] if len(node.shape) > 1 else 1
    left, right = attention.summed_over_units(node, x)
    # dX = G Yᵀ: sums over the columns of the product, which are positions of y where its units were summed over.
    along = y.pairs.positions if right else y.pairs.units
    level = out_units * (g.level * y.pairs.level + (out_units - 1) * g.units * along)
    between = y.pairs.units if right else y.pairs.positions
    own = out_units * g.level * between  # what two elements of one row of dX share
    like = Pairs(level, own if left else 0.0, 0.0 if left else own, 0.0)
    if left and y.rows is None:
        like = replace(like, positions=out_units * g.positions * y.pairs.level)
    back.send(first, Flow(run.signals[first].extent, like, run.ledger.number(), noise=plain.noise + y.noise,
                          doubt=plain.doubt))  # fmt: skip
    # dY = Xᵀ G: sums over the rows.
    between_rows = x.pairs.positions if left else x.pairs.units
    level = rows * (g.level * x.pairs.level + (rows - 1) * g.positions * between_rows)
    tokens = rows * (g.level * (x.pairs.units if left else x.pairs.positions))
    if x.rows is not None:  # every share of a row is fed by one gradient
        tokens = rows * g.level * x.pairs.units + rows * (rows - 1) * g.positions * x.mean**2
    like = Pairs(level, 0.0, tokens if not right else rows * g.units * x.pairs.level, 0.0)
    back.send(second, Flow(run.signals[second].extent, like, run.ledger.number(), noise=plain.noise + x.noise,
                           doubt=plain.doubt))  # fmt: skip


def _attention(back: Backward, node: Node, flow: Flow) -> None:
    run, plain = back.run, back.plain(flow)
    live = [i for i in node.inputs if i in run.signals]
    heads = attention.heads_of(run, node, [run.signals[i] for i in live])
    rows = attention.attention_of(heads)
    g, q, k, v = plain.base, heads.query.pairs, heads.key.pairs, heads.value.pairs

    def alike(pairs: Pairs) -> float:
        return min(max(pairs.positions / pairs.level, 0.0), 1.0) if pairs.level > 0 else 0.0

    found = rows.gradients(
        g.level, query=q.level, key=k.level, value=v.level, width=heads.width, scale=heads.scale,
        value_width=node.shape[-1], key_correlation=alike(k), value_correlation=alike(v),
        gradient_correlation=alike(g),
    )  # fmt: skip
    targets = (live * 3)[:3] if len(live) == 1 else (live if len(live) == 3 else [live[0], live[1], live[1]])
    overlap = rows.overlap if math.isfinite(rows.overlap) else rows.concentration
    pairs_of_keys = max(heads.keys * (heads.keys - 1), 1)
    shared = heads.rows * g.level * (1 - rows.concentration) / pairs_of_keys
    shared += heads.rows * (heads.rows - 1) * g.positions * (1 - overlap) / pairs_of_keys
    for index, level, positions in zip(targets, (found.query, found.key, found.value), (0.0, 0.0, shared), strict=True):
        like = Pairs(level, 0.0, min(positions, level), 0.0)
        moved = Flow(plain.extent, like, run.ledger.number(), noise=plain.noise, doubt=plain.doubt)
        signal = run.signals[index]
        copies = plain.extent.count * heads.keys / heads.rows / max(signal.extent.count, 1)
        if index != targets[0] and copies > 1.5:  # heads share their keys and values
            moved = replace(moved, base=like.scaled(copies))
        back.send(index, replace(moved, extent=signal.extent))


_RULES: Mapping[Operation, Rule] = {
    Operation.LINEAR: _linear,
    Operation.CONVOLUTION: _linear,
    Operation.EMBEDDING: _passed,
    Operation.RECURRENT: _recurrent,
    Operation.ATTENTION: _attention,
    Operation.MATMUL: _product,
    Operation.SOFTMAX: _softmax,
    Operation.ACTIVATION: _activation,
    Operation.NORMALIZATION: _normalization,
    Operation.ADD: _add,
    Operation.MULTIPLY: _multiply,
    Operation.SCALE: _scale,
    Operation.POOLING: _pooling,
    Operation.RESAMPLE: _resampling,
    Operation.RESHAPE: _taken,
    Operation.CONCATENATION: _taken,
    Operation.REDUCTION: _reduction,
    Operation.DROPOUT: _dropout,
    Operation.UNKNOWN: _unknown,
}
