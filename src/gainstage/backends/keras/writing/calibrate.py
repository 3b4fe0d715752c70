"""Calibration: one forward pass in which every weight is rescaled as the pass reaches it.

When the replay arrives at a weight, the output it has just produced is measured with its bias taken off; weight and
output are multiplied by the same factor, and the pass goes on with the corrected signal. Only where the output is
homogeneous of degree one in the weight; elsewhere the predicted value stays, and the plan says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from gainstage.backends.keras.models.batch import prepare
from gainstage.backends.keras.tracing.trace import Program, program_of, require_model
from gainstage.backends.keras.writing.calibrating_pass import CalibratingPass, Site, levels_at
from gainstage.backends.keras.writing.write import apply, rescale
from gainstage.backends.shared.calibration import is_held
from gainstage.backends.shared.reuse import Uses, settle_reused
from gainstage.records import Assignment, Plan

__all__ = ["calibrate"]

_ROUNDS = 8  # passes at most in which weights that do not follow their sources are found out


def calibrate(model: Any, plan: Plan, inputs: Any, *, seed: int = 0) -> Plan:
    """Bring every calibrated output of a batch to its level, in place, in one forward pass.

    Weights that are used several times, and weights that are made of several parameters, take further passes: they are
    measured on all of their uses, and by whether they follow a factor on what they are made of.

    Args:
        model: with the plan's weights already written.
        plan: whose assignments carry the level of the output they aim at.
        inputs: the batch.
        seed: random state of the pass (dropout).

    Returns:
        the plan with the measured scales and biases; applying it to the same model draws the same weights again. What
        was left to its predicted value says why.

    Raises:
        ModelError: the model's own code raised; nothing is changed then.
    """
    batch = prepare(inputs)
    program = program_of(require_model(model), batch)
    first = pass_ = CalibratingPass(program, batch.arrays, plan, seed)
    pass_.run()
    if pass_.again:
        pass_ = _with_reused(pass_)
    if pass_.assembled:
        pass_ = _with_assembled(pass_)
    done = pass_.found.carried_out(plan)
    if pass_ is not first:
        apply(model, done)  # one draw times one factor: the bytes that the plan will write again
    return done


def _with_reused(first: CalibratingPass) -> CalibratingPass:
    """Set the weights that are used several times by all their uses, and calibrate the others around them."""
    program, reused = first.program, frozenset(first.again)
    for path in reused & first.found.scales.keys():
        rescale(program.parameters[path], 1 / first.found.scales.pop(path))
    uses, loops = _uses(program, first.plan, reused)

    def look() -> Uses:
        seen = levels_at(program, first.arrays, [site for sites in uses.values() for site in sites], first.seed)
        return Uses({path: [seen[site.draft.index] for site in sites] for path, sites in uses.items()}, loops)

    first.found.left.clear()  # what was said of signals that have changed since
    first.found.notes.clear()
    factors = settle_reused(first.plan, look, lambda path, factor: rescale(program.parameters[path], factor))
    last = first.followed(skip=reused)
    for path in reused:
        factor, count = factors.get(path, (1.0, 0))
        last.found.rescaled(path, factor)
        last.found.notes[path] = f"set by all of its {count} uses" if count else "its uses could not be measured"
    last.run()
    return last


def _uses(
    program: Program, plan: Mapping[str, Assignment], reused: frozenset[str]
) -> tuple[dict[str, list[Site]], frozenset[str]]:
    """Every use of some weights in the order of flow, and the weights among them that read what they made."""
    behind: dict[int, frozenset[str]] = {}
    uses: dict[str, list[Site]] = defaultdict(list)
    loops: set[str] = set()
    for draft in program.drafts:
        before = frozenset[str]().union(*(behind.get(i, frozenset()) for i in draft.inputs))
        own = [use.parameter for use in draft.uses if use.slot == "weight" and use.parameter in reused]
        if own and Site.fits(draft):
            loops.update(path for path in own if path in before)
            for path in own:
                uses[path].append(Site.of(draft, plan[path], plan))
        behind[draft.index] = before.union(own)
    return dict(uses), frozenset(loops)


def _with_assembled(first: CalibratingPass) -> CalibratingPass:
    """Look whether the weights that are made of several parameters followed the factor on these; put others back."""
    last, refused = first, frozenset[str]()
    for _ in range(_ROUNDS):
        seen = levels_at(last.program, last.arrays, last.assembled, last.seed)
        lost = next((s for s in last.assembled if not is_held(seen[s.draft.index], s.assignment.level or 0.0)), None)
        if lost is None:
            break
        for path in lost.paths:
            rescale(last.program.parameters[path], 1 / last.found.scales.pop(path))
            last.found.left[path] = "the weight that it is part of does not follow its scale"
            last.found.notes.pop(path, None)
        refused |= frozenset(lost.paths)
        last = last.followed(skip=refused | first.skip)
        last.run()
    return last
