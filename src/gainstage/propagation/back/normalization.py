"""Backward through normalisations: the mean, and the projection on the signal, are taken off the gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gainstage.graph import Node
from gainstage.propagation.back.flows import BackwardPass, hand_on
from gainstage.propagation.back.small_fan_in import answering
from gainstage.propagation.draw_variance import CALM
from gainstage.propagation.normalization import Division, divided_by, division
from gainstage.propagation.second_moments import SecondMoments
from gainstage.propagation.sequence_profile import SequenceProfile
from gainstage.propagation.signal import GateResponse, PendingGradient, ProjectedOut, Signal

__all__ = ["normalization"]


def normalization(back: BackwardPass, node: Node, flow: PendingGradient) -> None:
    """Divide the gradient by the spread, less its mean and its projection on the normalized signal."""
    run, index = back.run, node.inputs[0]
    x, plain, out = run.signals[index], back.plain(flow), run.signals[node.index]
    parts = x.parts if node.function == "batch_norm" and x.parts else (x,)
    along = back.met(flow, out).scaled(1 / (out.pairs.level or 1.0))  # gradient times normalized signal
    settled = _gone(back, flow, out)
    units = sum(p.extent.units for p in parts)
    total, noise, levels, few = SecondMoments(0.0), CALM, list[float](), 0.0
    for part in parts:
        merged = part if part.parts == () else run.algebra.merged(part)
        by, share = division(run, node, merged), part.extent.units / units
        found = _divided(by, plain, along, settled)
        total = total + found.scaled(share)
        levels.append(found.level)
        if not by.frozen:
            noise = noise + merged.noise * (share * by.variance * by.factor)
            few += share * by.inverse.scatter * by.over / max(plain.extent.count, 1)  # each block has its own variance
    atom = run.algebra.number()
    sent = replace(
        plain, base=total, atom=atom, noise=(plain.noise - noise).caused(run.algebra.cause(), few),
        parts=tuple(v / total.level for v in levels) if x.parts and total.level > 0 else (),
        settled=ProjectedOut(atom, index) if by.block is not None and by.block.whole_position else None,
        answer=_answer(back, node, flow, atom, by),
    )  # fmt: skip
    hand_on(back, index, _along_positions(x, by, sent))


def _divided(by: Division, flow: PendingGradient, along: SecondMoments, settled: tuple[float, float]) -> SecondMoments:
    """Second moments of the gradient behind a division.

    Args:
        by: what is divided by.
        flow: the gradient in front of it.
        along: second moments of the gradient times the normalized signal.
        settled: what an earlier normalization has taken off already, see ``_gone``.
    """
    g, inverse, (gone, alike) = flow.base, by.inverse, settled
    mean, projection, of_pairs = 0.0, 0.0, SecondMoments(0.0)
    if by.block is not None:
        mean = by.block.mean_square(g, 0.0) * (1 - gone) if by.centres else 0.0
        projection = by.block.mean_square(along, 0.0) * (1 - gone * alike) * (1 - inverse.eased)
        if by.block.positions > 1:
            of_pairs = SecondMoments(0.0, 0.0, mean)
    elif not by.frozen and by.over > 1:
        mean, projection = g.over_batch(flow.extent), along.over_batch(flow.extent)
        of_pairs = SecondMoments(0.0, 0.0, mean, mean)  # what a batch's mean takes off, all of its pairs lose
    return SecondMoments(
        max(g.level - mean - projection, 0.0), g.units * by.scale_mean**2 / max(by.scale, 1e-300),
        g.positions - of_pairs.positions, g.examples - of_pairs.examples, g.neighbour - of_pairs.neighbour,
    ).scaled(inverse.mean * by.scale)  # fmt: skip


def _along_positions(x: Signal, by: Division, sent: PendingGradient) -> PendingGradient:
    """Where the second moment of a sequence is high, the gradient is divided by more."""
    if x.course is None or (divided := divided_by(x, by)) is None:
        return sent
    course = sent.course or SequenceProfile.even(x.course.counts, sent.base)
    if course.places != x.course.places:
        return sent
    inverse = 1 / divided
    course, ratio = course.scaled(inverse, np.sqrt(inverse[:, None] * inverse[None, :]))
    return replace(sent, course=course, base=course.set_in(sent.base.scaled(ratio)))


def _answer(back: BackwardPass, node: Node, flow: PendingGradient, atom: int, by: Division) -> GateResponse | None:
    """How the gradient in front of a batch norm answers to what is normalised, where a gate behind it does.

    What the batch's mean takes off, and what the projection on the signal does, is the mean gradient's answer.
    """
    x, out = back.run.signals[node.inputs[0]], back.run.signals[node.index]
    if node.function != "batch_norm" or x.parts:
        return None
    base = flow.base if by.frozen else flow.base.shifted(-flow.base.over_batch(flow.extent))
    found = answering(back, replace(flow, base=base), out)
    if found is None or flow.law is None:
        return None
    share = out.variance / back.run.algebra.source(flow.law.source).variance  # of what the gate sees
    response = 0.0 if by.frozen else back.run.algebra.expectation(flow.law).response * share
    steep, bent = (pairs.scaled(by.inverse.mean * by.factor * by.scale**2) for pairs in found)
    return GateResponse(atom, node.inputs[0], steep, bent, response)


def _gone(back: BackwardPass, flow: PendingGradient, out: Signal) -> tuple[float, float]:
    """The share of a gradient behind another norm, and the squared correlation of what both norms normalize.

    Of that share, the norm behind has taken off the mean, and the projection as far as the signals are alike. Where
    norms stand on the residual stream itself, a gradient comes from one to the next with only a sum between them.
    """
    if flow.settled is None or flow.settled.atom != flow.atom or flow.law is not None:
        return 0.0, 0.0
    after = back.run.signals[flow.settled.node]
    if out.parts or after.parts or not after.variance > 0:
        return 0.0, 0.0
    return flow.settled.share, min(back.run.algebra.regression(after, out) ** 2 * out.variance / after.variance, 1.0)
