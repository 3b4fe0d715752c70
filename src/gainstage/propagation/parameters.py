"""Gradients of parameters: sums over examples and positions of gradient δ times signal x."""

from __future__ import annotations

from collections.abc import Mapping

from gainstage.graph import Node, Operation, Parameter
from gainstage.propagation.back.backward_pass import BackwardPass, Gradient
from gainstage.propagation.bilinear import products
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.weighted import puts_heads_together, regrouped
from gainstage.records import Moments, ParameterProfile, WeightMoments

__all__ = ["parameter_profiles"]


def parameter_profiles(back: BackwardPass, weights: Mapping[str, WeightMoments]) -> tuple[ParameterProfile, ...]:
    """Return the predicted gradient of every parameter in use, in the graph's order."""
    found = []
    for parameter in back.run.graph.parameters:
        known = weights.get(parameter.path)
        if not parameter.reached or known is None:
            continue
        count = 1
        for size in parameter.shape:
            count *= size
        weight = Moments(count, known.mean, known.variance, known.second_moment)
        level = _gradient(back, parameter)
        if not level and parameter.trainable and any(i in back.gradients for i in parameter.nodes):
            continue  # a gradient arrives, but no rule gives the parameter's share
        gradient = Moments(count, 0.0, level, level) if level is not None and parameter.trainable else None
        spread = known.second_moment**0.5
        unit_spread = (spread, spread) if parameter.kernel is not None and len(parameter.shape) > 1 else None
        constant = count > 1 and known.variance <= 1e-14 * max(known.second_moment, 1e-300)
        found.append(ParameterProfile(parameter.path, weight, gradient, 0, constant, unit_spread))
    return tuple(found)


def _gradient(back: BackwardPass, parameter: Parameter) -> float | None:
    """Return the second moment of one element of a parameter's gradient; None where no gradient or no rule is known."""
    total: float | None = None
    names = {parameter.path, *parameter.aliases}
    for index in parameter.nodes:
        node = back.run.graph.nodes[index]
        gradient = back.gradients.get(index)
        if gradient is None:
            continue
        for use in node.uses:
            if use.parameter in names:
                part = _of_use(back, node, gradient, use.slot)
                if part is not None:
                    total = part if total is None else total + part
    return total


def _of_use(back: BackwardPass, node: Node, gradient: Gradient, slot: str) -> float | None:
    g, extent = gradient.pairs, gradient.extent
    summed = extent.examples * extent.positions
    if slot in ("bias", "shift"):
        return summed * _summed(g, gradient, SecondMoments(1.0, 1.0, 1.0, 1.0))
    if slot == "scale":
        if node.operation is not Operation.NORMALIZATION:
            read = back.run.signals.get(node.inputs[0]) if node.inputs else None
            return None if read is None else summed * _summed(g, gradient, read.pairs)
        signal = back.run.signals[node.index]
        level = signal.pairs.level or 1.0
        return summed * _summed(g, gradient, signal.pairs.scaled(1 / level))
    if node.operation is Operation.EMBEDDING:
        rows = node.kernel.in_ if node.kernel is not None else 1
        return summed * g.level / max(rows, 1)
    if node.operation is Operation.RECURRENT:
        return _recurrent(back, node, gradient, slot)
    if node.operation in (Operation.ADD, Operation.OFFSET, Operation.INPUT, Operation.SCALE):
        # A table of positions, a token: one value for each place, summed over the examples.
        e = extent.examples
        return e * (g.level + (e - 1) * g.examples)
    if slot != "weight" or not node.inputs:
        return None
    x = back.run.signals.get(node.inputs[0])
    if x is None:
        return None
    if node.operation is Operation.BILINEAR:
        x = products(back.run, x, back.run.signals[node.inputs[-1]])
    undivided = back.run.algebra.without_parts(x)
    seen = undivided
    if node.kernel is not None:
        seen = regrouped(undivided, node.kernel.in_, heads=puts_heads_together(back.run, node))
    return summed * _summed(g, gradient, seen.pairs)


def _summed(g: SecondMoments, gradient: Gradient, x: SecondMoments) -> float:
    """Return E (Σ δ x)² over all observations divided by their number: the trace of a product of two Gram matrices."""
    e, p = gradient.extent.examples, gradient.extent.positions
    times = (1, e - 1, p - 1, (e - 1) * (p - 1))
    products = zip(times, _eigenvalues(g, e, p), _eigenvalues(x, e, p), strict=True)
    return sum(count * first * second for count, first, second in products) / (e * p)


def _eigenvalues(k: SecondMoments, e: int, p: int) -> tuple[float, float, float, float]:
    """Return the eigenvalues of a Gram matrix over examples and positions: mean, between examples, between positions,
    rest.

    Rounding and approximation may make small ones negative; these become zero.
    """
    within, between = k.level + (p - 1) * k.positions, k.examples + (p - 1) * k.across_both
    values = (
        within + (e - 1) * between,
        within - between,
        k.level - k.positions + (e - 1) * (k.examples - k.across_both),
        k.level - k.positions - k.examples + k.across_both,
    )
    return tuple(max(value, 0.0) for value in values)  # type: ignore[return-value]


def _recurrent(back: BackwardPass, node: Node, gradient: Gradient, slot: str) -> float | None:
    """Return the gradient of a recurrent weight: gradients at the gates times the input, or the previous state."""
    x = back.run.signals[node.inputs[0]]
    known = back.run.recurrences.get(node.index)
    if not known:  # the forward pass has recorded the reason
        return None
    first = known[0]
    gates = sum(first.moments.gates) / max(len(first.moments.gates), 1)
    count = gradient.extent.examples * gradient.extent.positions
    read = {"weight": x.pairs.level, "state": first.moments.second_moment}.get(slot, 1.0)
    return count * gradient.pairs.level * gates * read
