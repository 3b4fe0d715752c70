"""Decides whether a start may stay: by findings that new weights mend, and by narrower bounds of its own.

A finding says that a model will train badly. Where somebody asks for an initialization, a start is also replaced that
trains, but slowly: where the signal or the gradient drifts by more than a decade, or where the output is loud.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass

from gainstage.graph import Node, Operation, Role, SignalGraph
from gainstage.graph.groups import LEVEL_KEEPING
from gainstage.records import Diagnosis, Profile, Severity
from gainstage.rules.forward import difference_drift, signal_drift
from gainstage.rules.gradient import gradient_drift
from gainstage.rules.layers import layers, weights_in_words
from gainstage.rules.table import Lacking
from gainstage.rules.trend import HALFWAY, Trend
from gainstage.rules.untouched import untouched_tables
from gainstage.rules.words import figure

__all__ = ["Fitness", "fitness", "widened"]

TIMID, BOLD = 0.2, 5.0
"""Times 1/√fan_in. PyTorch's default has a gain of 0.58, He's rule 1.41, and no activation asks for more than 5. A gain
below a third of the default is one spread for all layers (0.01, 0.02), taken over from a much wider network."""

DRIFT = 1.0
"""Decades by which signal or gradient may drift where every layer has its part in it, so that depth is what drives it;
otherwise it may be two, from the middle of the window of useful relative steps (1e-5 to 1e-1) to its edge."""


WIDER = 0.5
"""Decades of drift that new weights may add where they leave the window of ``DRIFT``: what one draw scatters by."""

_INNER = frozenset({Role.HIDDEN, Role.DEPTHWISE, Role.VALUE, Role.PACKED_ATTENTION})


@dataclass(frozen=True, slots=True)
class Fitness:
    """The objections against a start, and its measurements.

    Args:
        faults: why it should not stay, in words; empty where it may.
        patterns: paths of the parameters that the faults are limited to; empty where they concern the whole model.
        evidence: what was measured of a start that may stay, in words.
        tables: paths of those that hold a framework's default numbers, which nobody chose for this network.
    """

    faults: tuple[str, ...]
    patterns: tuple[str, ...]
    evidence: str = ""
    tables: tuple[str, ...] = ()

    @property
    def stays(self) -> bool:
        """Whether there is nothing to draw anew."""
        return not (self.faults or self.tables)

    @property
    def drawn(self) -> tuple[str, ...]:
        """Return paths of the parameters that are to be drawn anew; empty where the whole model is."""
        return () if self.faults and not self.patterns else (*self.patterns, *self.tables)


def fitness(diagnosis: Diagnosis) -> Fitness:
    """Judge whether a start may stay as it is.

    Args:
        diagnosis: of the model as it was made, from one forward and one backward pass. Labels and a loss are not
            needed: without them the gradient starts from random signs at the output.

    >>> from gainstage.graph import Node, Operation, SignalGraph
    >>> from gainstage.records import Source, Task
    >>> graph = SignalGraph((Node(0, Operation.INPUT, "input", (), (8, 4)),), ())
    >>> fitness(Diagnosis(Profile(graph, (), (), Task(), Source("measured", "torch")), ())).faults
    ()
    """
    wanted = [f for f in diagnosis.findings if f.remedy.action == "initialize" and f.severity is not Severity.NOTE]
    profile = diagnosis.profile
    drifts, evidence = _drifts(profile)
    loud = [*_loud(profile), *_off_scale(profile)]
    faults = [f"{f.code}, {f.title[:1].lower()}{f.title[1:]} ('{f.path}')" for f in wanted] + drifts + loud
    whole = bool(drifts or loud) or any(not f.remedy.patterns for f in wanted)
    patterns = () if whole else tuple(dict.fromkeys(p for f in wanted for p in f.remedy.patterns))
    return Fitness(tuple(faults), patterns, evidence, untouched_tables(profile))


def widened(before: Profile, after: Profile) -> str:
    """Return in words what drifts with depth after new weights and did not before; empty where nothing does.

    Args:
        before: of the start that a model had.
        after: of new weights.
    """
    old = _trends(before)
    for what, trend in _trends(after).items():
        if what in old and abs(trend.decades) > max(DRIFT, abs(old[what].decades) + WIDER):
            return (
                f"the {what} would change by a factor of {figure(10 ** abs(trend.decades))} over "
                f"{len(trend.points)} depths, and changes by {figure(10 ** abs(old[what].decades))} without them"
            )
    return ""


def _trends(profile: Profile) -> dict[str, Trend]:
    """Signal and gradient through depth, where there are enough depths to say."""
    found = {"signal": signal_drift(profile), "difference between examples": difference_drift(profile)}
    with suppress(Lacking):
        found["gradient"] = gradient_drift(profile)
    return {what: trend for what, trend in found.items() if trend is not None}


def _drifts(profile: Profile) -> tuple[list[str], str]:
    """Return the quantities that drift too far, and the drift of signal and gradient."""
    found: list[str] = []
    seen: list[str] = []
    for what, trend in _trends(profile).items():
        factor = 10 ** abs(trend.decades)
        words = f"the {what} changes by a factor of {figure(factor)} over {len(trend.points)} depths"
        far = abs(trend.decades) > (DRIFT if trend.systematic or trend.regular else HALFWAY)
        (found if far else seen).append(words)
    return found, " and ".join(seen)


def _off_scale(profile: Profile) -> list[str]:
    """Inner weights whose spread does not go with their number of inputs, inside residual branches too.

    Weights whose output meets no activation are left out: offsets, shifts, scales and the ends of branches start small
    on purpose, so that what they are added to, or multiply, starts as it is. Beside frozen weights
    nothing is said: there a trained model is at work, and what is added to it starts small.
    """
    if any(p.role.is_kernel and not p.trainable for p in profile.graph.parameters):
        return []
    off = [
        layer
        for layer in layers(profile)
        if layer.gain
        and layer.first
        and not (layer.scale_invariant or layer.last)
        and layer.role in _INNER
        and _meets_activation(profile.graph, layer.node)
        and not TIMID <= layer.gain <= BOLD
    ]
    if not off:
        return []
    worst = max(off, key=lambda layer: abs(math.log(layer.gain or 1.0)))
    return [
        f"{weights_in_words(worst)}, and {len(off) - 1} more are off scale" if len(off) > 1 else weights_in_words(worst)
    ]


def _meets_activation(graph: SignalGraph, node: Node) -> bool:
    """Report whether an activation reads a node's output, through operations that keep its level."""
    pending, seen = list(graph.consumers[node.index]), set[int]()
    while pending:
        index = pending.pop()
        if index in seen:
            continue
        seen.add(index)
        if graph.nodes[index].operation is Operation.ACTIVATION:
            return True
        if graph.nodes[index].operation in LEVEL_KEEPING:
            pending += graph.consumers[index]
    return False


def _loud(profile: Profile) -> list[str]:
    """Report whether one output exceeds the others so far that a softmax is almost one-hot."""
    output = profile.task.output
    if output is None or output.function or output.units < 2 or output.spread_within is None:
        return []
    bound = 2 * math.sqrt(2 * math.log(output.units))
    if not output.spread_within > bound:
        return []
    return [f"the {output.units} outputs of one example have spread {figure(output.spread_within)}"]
