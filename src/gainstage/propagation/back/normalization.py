"""Backward rules of normalizations: the gradient loses its mean and its projection on the normalized signal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gainstage.graph import Node
from gainstage.propagation.back.backward_pass import BackwardPass, send_to_operand
from gainstage.propagation.back.small_fan_in import gate_derivatives
from gainstage.propagation.draw_variance import NO_VARIANCE
from gainstage.propagation.normalization import Division, divided_by, division
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.sequence_profile import SequenceProfile
from gainstage.propagation.signal import GateResponse, PendingGradient, ProjectedOut, Signal

__all__ = ["normalization"]


def normalization(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Divide the gradient by √(σ² + ε), without its mean and its projection on the normalized signal."""
    run, index = back.run, node.inputs[0]
    x, plain, out = run.signals[index], back.evaluated(flow), run.signals[node.index]
    parts = x.parts if node.function == "batch_norm" and x.parts else (x,)
    along = back.times_signal(flow, out).scaled(1 / (out.pairs.level or 1.0))  # gradient times normalized signal
    projected_out = _already_projected_out(back, flow, out)
    units = sum(p.extent.units for p in parts)
    total, noise, levels, few = SecondMoments(0.0), NO_VARIANCE, list[float](), 0.0
    for part in parts:
        undivided = part if part.parts == () else run.algebra.without_parts(part)
        by, share = division(run, node, undivided), part.extent.units / units
        found = _through_division(by, plain, along, projected_out)
        total = total + found.scaled(share)
        levels.append(found.level)
        if not by.frozen:
            noise = noise + undivided.noise * (share * by.variance * by.factor)
            few += share * by.inverse.scatter * by.over / max(plain.extent.count, 1)  # each block has its own variance
    atom = run.algebra.number()
    sent = replace(
        plain, base=total, atom=atom, noise=(plain.noise - noise).with_cause(run.algebra.cause(), few),
        parts=tuple(v / total.level for v in levels) if x.parts and total.level > 0 else (),
        projected_out=ProjectedOut(atom, index) if by.block is not None and by.block.whole_position else None,
        gate_response=_gate_response(back, node, flow, atom, by),
    )  # fmt: skip
    send_to_operand(back, index, _scaled_by_position(x, by, sent))


def _through_division(
    by: Division, flow: PendingGradient, along: SecondMoments, projected_out: tuple[float, float]
) -> SecondMoments:
    """Return second moments of the gradient in front of a normalization.

    Args:
        by: statistics of the normalization.
        flow: the gradient behind it.
        along: second moments of the gradient times the normalized signal.
        projected_out: what a later normalization has removed already, from ``_already_projected_out``.
    """
    g, inverse, (gone, alike) = flow.base, by.inverse, projected_out
    mean, projection, of_pairs = 0.0, 0.0, SecondMoments(0.0)
    if by.block is not None:
        mean = by.block.mean_square(g, 0.0) * (1 - gone) if by.centres else 0.0
        projection = by.block.mean_square(along, 0.0) * (1 - gone * alike) * (1 - inverse.eased)
        if by.block.positions > 1:
            of_pairs = SecondMoments(0.0, 0.0, mean)
    elif not by.frozen and by.over > 1:
        mean, projection = g.batch_mean_square(flow.extent), along.batch_mean_square(flow.extent)
        of_pairs = SecondMoments(0.0, 0.0, mean, mean)  # subtracting the batch mean changes all pairs of the batch
    return SecondMoments(
        max(g.level - mean - projection, 0.0), g.units * by.scale_mean**2 / max(by.scale, 1e-300),
        g.positions - of_pairs.positions, g.examples - of_pairs.examples, g.neighbour - of_pairs.neighbour,
    ).scaled(inverse.mean * by.scale)  # fmt: skip


def _scaled_by_position(x: Signal, by: Division, sent: PendingGradient) -> PendingGradient:
    """Divide the gradient by position: where a token's second moment is high, by more."""
    if x.sequence is None or (divided := divided_by(x, by)) is None:
        return sent
    sequence = sent.sequence or SequenceProfile.uniform(x.sequence.counts, sent.base)
    if not sequence.aligned_with(x.sequence):
        return sent
    inverse = 1 / divided
    sequence, ratio = sequence.scaled(inverse, np.sqrt(inverse[:, None] * inverse[None, :]))
    return replace(sent, sequence=sequence, base=sequence.imposed_on(sent.base.scaled(ratio)))


def _gate_response(
    back: BackwardPass, node: Node, flow: PendingGradient, atom: int, by: Division
) -> GateResponse | None:
    """Return the correlation of the gradient in front of a batch norm with its input, caused by an activation behind
    it.

    The mean over the batch and the projection on the signal remove the mean gradient's response.
    """
    x, out = back.run.signals[node.inputs[0]], back.run.signals[node.index]
    if node.function != "batch_norm" or x.parts:
        return None
    base = flow.base if by.frozen else flow.base.shifted(-flow.base.batch_mean_square(flow.extent))
    found = gate_derivatives(back, replace(flow, base=base), out)
    if found is None or flow.dependence is None:
        return None
    share = out.variance / back.run.algebra.source(flow.dependence.source).variance  # share of the gate's input
    response = 0.0 if by.frozen else back.run.algebra.expectation(flow.dependence).response * share
    steep, bent = (pairs.scaled(by.inverse.mean * by.factor * by.scale**2) for pairs in found)
    return GateResponse(atom, node.inputs[0], steep, bent, response)


def _already_projected_out(back: BackwardPass, flow: PendingGradient, out: Signal) -> tuple[float, float]:
    """Return the share of a gradient that came through another norm, and the squared correlation of both norms' inputs.

    Going backward through successive norms on one stream, the second removes only the components that the first has not
    already projected out.
    """
    if flow.projected_out is None or flow.projected_out.atom != flow.atom or flow.dependence is not None:
        return 0.0, 0.0
    after = back.run.signals[flow.projected_out.node]
    if out.parts or after.parts or not after.variance > 0:
        return 0.0, 0.0
    return flow.projected_out.share, min(
        back.run.algebra.regression(after, out) ** 2 * out.variance / after.variance, 1.0
    )
