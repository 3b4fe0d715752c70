"""Bilinear layers y_k = Σ_ij w_kij a_i b_j, forward and backward.

Over draws of the weights a bilinear layer is a linear layer that reads all n·m products a_i b_j of its two inputs.
"""

from __future__ import annotations

from dataclasses import replace

from gainstage.graph import Node
from gainstage.propagation.back.backward_pass import BackwardPass, send_to_operand
from gainstage.propagation.finite_width import Deviation
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.signal import PendingGradient, Signal
from gainstage.propagation.weighted import weighted_sum
from gainstage.propagation.weights import mixing

__all__ = ["backward", "forward", "products"]


def products(run: ForwardPass, first: Signal, second: Signal) -> Signal:
    """Return the products a_i b_j of two independent signals as one signal with n·m units."""
    a, b = run.algebra.without_parts(first), run.algebra.without_parts(second)
    n, m = a.extent.units, b.extent.units
    pairs, p, q = a.pairs * b.pairs, a.pairs, b.pairs
    # Two different products share i, share j, or share neither.
    units = (m - 1) * p.level * q.units + (n - 1) * p.units * q.level + (n - 1) * (m - 1) * p.units * q.units
    units /= max(n * m - 1, 1)
    noise = a.noise + b.noise
    return replace(
        a, extent=replace(a.extent, units=n * m), pairs=replace(pairs, units=units), mean=a.mean * b.mean, skew=0.0,
        excess=0.0, noise=noise, inherited=noise, dependence=None, terms=(), rows=None, zero=0.0, sequence=None,
        edge_profiles=(), doubt=a.doubt or b.doubt,
    )  # fmt: skip


def forward(run: ForwardPass, node: Node, operands: list[Signal]) -> Signal:
    """Predict a bilinear layer."""
    read = products(run, operands[0], operands[-1])
    found = weighted_sum(run, node, read, mixing(run.graph, node, run.weights))
    return run.algebra.new_source(replace(found, doubt=found.doubt or read.doubt))


def backward(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Send each input the gradient Σ_kj w_kij g_k b_j, whose second moment is out · m · E w² · E g² · E b²."""
    run, plain = back.run, back.evaluated(flow)
    by, kernel, g = mixing(run.graph, node, run.weights), node.kernel, plain.base
    fan_in = kernel.fan_in if kernel is not None else 1.0
    live = [index for index in node.inputs if index in run.signals]
    for index, other_index in zip(live, reversed(live), strict=True):
        other = run.algebra.without_parts(run.signals[other_index])
        factor = by.square / fan_in * plain.extent.units * other.extent.units
        base = replace((g * other.pairs).scaled(factor), units=0.0)
        moved = PendingGradient(
            replace(plain.extent, units=run.signals[index].extent.units), base, run.algebra.number(),
            noise=plain.noise + other.noise,
            finite_width=plain.finite_width.with_deviation(Deviation(node.index, 1 / max(plain.extent.units, 1))),
            doubt=plain.doubt,
        )  # fmt: skip
        own = 2 * moved.mean_squared_correlation / max(moved.extent.units, 1)
        moved = replace(moved, noise=moved.noise.with_cause(run.algebra.cause(), own))
        send_to_operand(back, index, moved)
