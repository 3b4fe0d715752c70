"""Backward rules of sums, products and elementwise functions."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from gainstage.graph import Node
from gainstage.propagation.back.backward_pass import BackwardPass, pass_through, scatter, send_to_operand, unknown
from gainstage.propagation.composed import is_scalar
from gainstage.propagation.function import Function
from gainstage.propagation.mixture import multiplied, powered
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.sequence_profile import times
from gainstage.propagation.signal import FunctionOf, PendingGradient, Product, Signal, broadcast_to
from gainstage.propagation.weights import scale_of
from gainstage.theory.activations import Array

__all__ = ["activation", "add", "dropout", "multiply", "offset", "scale"]


_QUANTILES = 199
_SPAN = np.linspace(-14.0, 14.0, 1121)
_BESIDE = 1e-9


def _given_one_term(dependence: FunctionOf, part: FunctionOf, mean: float, spread: float, source: Signal) -> FunctionOf:
    """Return f(sum) averaged over all terms but one: √E f(part + rest)² for one element, and E f for pairs.

    The result is tabulated over the source, since residual streams nest it block after block.

    Args:
        dependence: f, as a function of the sum.
        part: the remaining term, as a function of the source.
        mean, spread: mean and standard deviation of the independent rest.
        source: source of the remaining term.
    """
    from scipy.special import ndtri

    rest = mean + spread * ndtri((np.arange(_QUANTILES) + 0.5) / _QUANTILES)
    kinks = np.asarray(part.function.kinks)
    beside = _BESIDE * (1 + np.abs(kinks))
    span = source.mean + math.sqrt(source.variance) * _SPAN
    places = np.sort(np.concatenate((span, kinks - beside, kinks + beside)))
    total = part.function.value(places)[:, None] + rest
    values = dependence.function.value(total)
    both = values if dependence.pair_function is None else dependence.pair_function.value(total)

    def tabulated(kind: str, of: Function, table: Array) -> Function:
        key = ("given", kind, of.key, part.function.key, mean, spread, source.mean, source.variance)
        return Function(key, lambda x: np.interp(x, places, table), np.zeros_like, part.function.kinks)

    one = tabulated("square", dependence.function, np.sqrt((values**2).mean(-1)))
    return FunctionOf(part.source, one, tabulated("mean", dependence.for_pairs.function, both.mean(-1)))


def add(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send the gradient to every term of a sum, times the term's coefficient."""
    live = [i for i in node.inputs if i in back.run.signals]
    first, second = node.coefficients
    if len(live) == 1 and len(node.inputs) == 1:
        send_to_operand(back, live[0], replace(flow, factor=flow.factor * (first + second)))
        return
    for index in live:
        sent = _through_sum(back, node, index, flow)
        coefficient = first if index == node.inputs[0] else second
        send_to_operand(back, index, replace(sent, factor=coefficient * sent.factor))


def _through_sum(back: BackwardPass, node: Node, index: int, flow: PendingGradient) -> PendingGradient:
    """Turn a dependence on a sum into one on its term: behind relu(relu(x) + y), a gradient arrives where x is
    positive.
    """
    algebra = back.run.algebra
    whole, term = back.run.signals[node.index], back.run.signals[index]
    if (
        flow.dependence is None
        or whole.dependence is None
        or flow.dependence.source != whole.dependence.source
        or term.dependence is None
    ):
        return flow
    if whole.dependence.source == term.dependence.source or term.dependence.function.affine is not None or term.parts:
        return flow
    mean, variance = whole.mean - term.mean, max(whole.variance - term.variance, 0.0)
    source = algebra.source(term.dependence.source)
    return replace(
        flow,
        dependence=_given_one_term(flow.dependence, term.dependence, mean, math.sqrt(variance), source),
        atom=algebra.number(),
    )


def offset(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send the gradient to the signal, times its coefficient."""
    pass_through(back, node, replace(flow, factor=flow.factor * node.coefficients[0]))


def multiply(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send each factor of a product its gradient times the other factors."""
    run = back.run
    live = [i for i in node.inputs if i in run.signals]
    divide = node.divides
    for index in live:
        others = [run.signals[i] for i in live if i != index] or [run.signals[index]]
        other = others[0]
        mine, sequence, factor = run.signals[index], None, None
        if divide and index != live[0]:  # d(x / y) = -x / y²
            pairs = run.signals[node.index].pairs.scaled(1 / max(mine.pairs.level, 1e-300))
        elif divide:
            pairs = broadcast_to(other, flow.extent).pairs.each(lambda v: 1 / v if v > 0 else 0.0)
        else:
            same = (
                other.dependence is not None
                and mine.dependence is not None
                and other.dependence.source == mine.dependence.source
            )
            if same and other.dependence is not None and not other.parts and flow.dependence is None:
                twice = 2.0 if len(live) == 1 else 1.0
                send_to_operand(back, index, replace(flow, dependence=other.dependence, factor=flow.factor * twice))
                continue
            factor = broadcast_to(run.algebra.without_parts(other), flow.extent)
            pairs, sequence = factor.pairs, factor.sequence
        plain = back.evaluated(flow)
        base, along = times(plain.sequence, plain.base, sequence, pairs)
        if factor is not None and along is None:
            base = back.times_signal(flow, factor)
        noise = plain.noise + other.noise
        if factor is not None:
            both, more = run.algebra.squares(factor)
            own = scatter(plain.base, both, plain.extent) + more
            noise = (plain.noise + factor.inherited).with_cause(run.algebra.cause(), own / max(plain.extent.units, 1))
        atom = run.algebra.number()
        product = None if divide or factor is None else Product(atom, plain.atom, plain.base, factor, plain.sequence)
        alike = pairs.across_both / pairs.level if pairs.level > 0 else 0.0
        finite_width = plain.finite_width.scaled(min(max(alike, -1.0), 1.0))
        send_to_operand(
            back,
            index,
            replace(
                plain, base=base, sequence=along, atom=atom, noise=noise, product=product, finite_width=finite_width
            ),
        )


def activation(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Multiply the gradient by the activation's derivative, a function of the same source."""
    run, index = back.run, node.inputs[0]
    x = run.signals[index]
    if node.function == "glu":
        gate = run.functions.of(replace(node, function="sigmoid"))
        half = run.algebra.new_source(run.algebra.without_parts(x))
        if gate is not None and half.dependence is not None:
            opened = run.algebra.expectation(FunctionOf(half.dependence.source, Function.of(gate)))
            plain = back.evaluated(flow)
            factor = (opened.second + half.pairs.level * opened.slope_second) / 2
            send_to_operand(back, index, replace(plain, base=plain.base.scaled(2 * factor), atom=run.algebra.number()))
        return
    found = run.functions.of(node)
    if found is None:
        unknown(back, node, flow)
        return
    function = Function.of(found)
    if x.parts or x.dependence is None:
        send_to_operand(back, index, _over_parts(back, flow, x, function))
        return
    if flow.dependence is not None and flow.dependence.source != x.dependence.source:
        flow = back.evaluated(flow)
    slope = function.slope_after(x.dependence.function)
    own = FunctionOf(x.dependence.source, slope)
    dependence = own if flow.dependence is None else flow.dependence.times(slope)
    send_to_operand(back, index, replace(_with_slope_profile(back, flow, own), dependence=dependence))


def _with_slope_profile(back: BackwardPass, flow: PendingGradient, slope: FunctionOf) -> PendingGradient:
    """Return the gradient with the derivative's edge profile: a saturating function is steeper near borders."""
    source, answers = back.run.algebra.source(slope.source), back.run.algebra.expectation(slope).scaling
    known = flow.edge_profiles or (None,) * len(source.edge_profiles)
    if len(known) != len(source.edge_profiles):
        return flow
    found = [multiplied(a, powered(b, answers)) for a, b in zip(known, source.edge_profiles, strict=True)]
    times_signal = math.prod(mean for mean, _ in found)
    return replace(
        flow, factor=flow.factor * math.sqrt(times_signal), edge_profiles=tuple(border for _, border in found)
    )


def _over_parts(back: BackwardPass, flow: PendingGradient, x: Signal, function: Function) -> PendingGradient:
    """Send a gradient through a function of concatenated signals: the mean of the parts' factors."""
    plain, total = back.evaluated(flow), SecondMoments(0.0)
    parts = x.parts or (x,)
    units = sum(p.extent.units for p in parts)
    for part in parts:
        if part.dependence is None:
            part = back.run.algebra.new_source(part)
        assert part.dependence is not None
        found = back.run.algebra.expectation(
            FunctionOf(part.dependence.source, function.slope_after(part.dependence.function))
        )
        source = back.run.algebra.source(part.dependence.source)
        factor = replace(source.pairs.each(lambda v: found.pair(source.correlation(v))), level=found.second)  # noqa: B023
        total = total + factor.scaled(part.extent.units / units)
    return replace(plain, base=plain.base * total, atom=back.run.algebra.number())


def scale(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Multiply the gradient by the same factor as the signal."""
    run = back.run
    index = next(i for i in node.inputs if i in run.signals)
    if is_scalar(node):
        send_to_operand(back, index, replace(flow, factor=flow.factor * node.setting("other")))
        return
    if node.function in ("cos", "sin"):
        send_to_operand(back, index, replace(flow, factor=flow.factor * math.sqrt(0.5)))
        return
    plain = back.evaluated(flow)
    pairs = plain.base
    for use in node.uses:
        found = scale_of(run.graph, replace(use, slot="scale"), run.weights)
        pairs = replace(pairs.scaled(found.second_moment), units=pairs.units * found.mean**2)
    for constant in (i for i in node.inputs if i in run.signals and i != index):
        pairs = pairs * broadcast_to(run.signals[constant], plain.extent).pairs
    send_to_operand(back, index, replace(plain, base=pairs, atom=run.algebra.number()))


def dropout(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send the gradient through dropout: dropped elements receive none, the others more."""
    p = node.setting("p") if back.run.training else 0.0
    if not 0 < p < 1:
        pass_through(back, node, flow)
        return
    base = replace(flow.base, level=flow.base.level / (1 - p))
    pass_through(back, node, replace(flow, base=base, atom=back.run.algebra.number()))
