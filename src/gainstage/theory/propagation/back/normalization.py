"""Backward through normalisations: the mean, and the projection on the signal, are taken off the gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gainstage.graph import Node
from gainstage.theory.propagation.back.flows import Backward, hand_on
from gainstage.theory.propagation.course import Course
from gainstage.theory.propagation.function import IDENTITY
from gainstage.theory.propagation.normalization import divided_by, division
from gainstage.theory.propagation.pairs import Pairs
from gainstage.theory.propagation.signal import Flow, Law

__all__ = ["normalization"]


def normalization(back: Backward, node: Node, flow: Flow) -> None:
    """(x - mean) / spread · γ: the gradient over the spread, less what both averages take off."""
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
    if (divided := divided_by(node, x, division(run, node, x))) is not None and x.course is not None:
        # Where the level is high the gradient is divided by more.
        course = plain.course or Course.even(x.course.counts, plain.base)
        if course.places == x.course.places:
            inverse = 1 / divided
            course, ratio = course.scaled(inverse, np.sqrt(inverse[:, None] * inverse[None, :]))
            sent = replace(sent, course=course, base=course.set_in(sent.base.scaled(ratio)))
    hand_on(back, index, sent)


def _along(back: Backward, node: Node, flow: Flow) -> Pairs:
    """Second moments of gradient times normalised signal, which a normalisation takes off as well.

    They are not independent: a relu lets the gradient through where the signal is positive, or where a sum is positive
    of which the signal is one term. Given that sum, the signal is a share of it and a rest that knows nothing of it.
    """
    ledger, out = back.run.ledger, back.run.signals[node.index]
    level = out.pairs.level or 1.0
    if out.parts or out.law is None or flow.law is None:
        return (back.value(flow) * out.pairs).scaled(1 / level)
    if flow.law.source == out.law.source:
        both = Law(out.law.source, flow.law.function * out.law.function)
        return back.value(replace(flow, law=both)).scaled(1 / level)
    whole = ledger.source(flow.law.source)
    share = ledger.regression(out, whole)
    told = Law(flow.law.source, flow.law.function * IDENTITY.shifted(-whole.mean).scaled(share))
    rest = out.pairs.zip(whole.pairs, lambda mine, pair: mine - share**2 * (pair - whole.mean**2))
    return (back.value(replace(flow, law=told)) + back.value(flow) * rest).scaled(1 / level)
