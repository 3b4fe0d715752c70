"""Backward through normalisations: the mean, and the projection on the signal, are taken off the gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gainstage.graph import Node
from gainstage.propagation.back.again import answering
from gainstage.propagation.back.flows import Backward, hand_on
from gainstage.propagation.course import Course
from gainstage.propagation.noise import CALM
from gainstage.propagation.normalization import Division, divided_by, division
from gainstage.propagation.pairs import Pairs
from gainstage.propagation.signal import Answer, Flow, Settled, Signal

__all__ = ["normalization"]


def normalization(back: Backward, node: Node, flow: Flow) -> None:
    """(x - mean) / spread · γ: the gradient over the spread, less what both averages take off."""
    run, index = back.run, node.inputs[0]
    x, plain = run.signals[index], back.plain(flow)
    parts = x.parts if node.function == "batch_norm" and x.parts else (x,)
    g, total, noise, levels = plain.base, Pairs(0.0), CALM, list[float]()
    out = run.signals[node.index]
    along = back.met(flow, out).scaled(1 / (out.pairs.level or 1.0))  # gradient times normalised signal
    units = sum(p.extent.units for p in parts)
    gone, alike = _gone(back, flow, out)
    for part in parts:
        merged = part if part.parts == () else run.ledger.merged(part)
        by = division(run, node, merged)
        taken = 0.0
        if not by.frozen and by.over > 1:
            if node.function == "batch_norm":
                taken = g.over_batch(plain.extent) + along.over_batch(plain.extent)
            elif node.function == "instance_norm":
                taken = g.over_positions(plain.extent.positions) + along.over_positions(plain.extent.positions)
            elif node.function in ("rms_norm", "unit_norm"):
                taken = g.level / by.over * (1 - gone * alike)
            else:
                taken = g.level / by.over * (2 - gone * (1 + alike)) + g.units * (1 - 1 / by.over)
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
        if not by.frozen:
            noise = noise + merged.noise * (share * by.variance * by.factor)
    relative = tuple(v / total.level for v in levels) if x.parts and total.level > 0 else ()
    atom = run.ledger.number()
    settled = Settled(atom, index) if node.function in ("layer_norm", "rms_norm", "unit_norm") else None
    sent = replace(
        plain, base=total, atom=atom, noise=plain.noise - noise, parts=relative, settled=settled,
        answer=_answer(back, node, flow, atom, by),
    )  # fmt: skip
    if x.course is not None and (divided := divided_by(node, x, by)) is not None:
        # Where the level is high the gradient is divided by more.
        course = plain.course or Course.even(x.course.counts, plain.base)
        if course.places == x.course.places:
            inverse = 1 / divided
            course, ratio = course.scaled(inverse, np.sqrt(inverse[:, None] * inverse[None, :]))
            sent = replace(sent, course=course, base=course.set_in(sent.base.scaled(ratio)))
    hand_on(back, index, sent)


def _answer(back: Backward, node: Node, flow: Flow, atom: int, by: Division) -> Answer | None:
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
    share = out.variance / back.run.ledger.source(flow.law.source).variance  # of what the gate sees
    response = 0.0 if by.frozen else back.run.ledger.expectation(flow.law).response * share
    steep, bent = (pairs.scaled(by.back * by.factor * by.scale**2) for pairs in found)
    return Answer(atom, node.inputs[0], steep, bent, response)


def _gone(back: Backward, flow: Flow, out: Signal) -> tuple[float, float]:
    """What share of a gradient another normalisation has settled already, and how alike both signals are (r²).

    Where norms stand on the stream itself, a gradient comes from one to the next with nothing but a sum between them.
    """
    if flow.settled is None or flow.settled.atom != flow.atom or flow.law is not None:
        return 0.0, 0.0
    after = back.run.signals[flow.settled.node]
    if out.parts or after.parts or not after.variance > 0:
        return 0.0, 0.0
    return flow.settled.share, min(back.run.ledger.regression(after, out) ** 2 * out.variance / after.variance, 1.0)
