"""Calibration: one forward pass in which every weight is rescaled as the pass reaches it.

When the pass arrives at a weight, the output it has just produced is measured with its bias taken off; weight and
output are multiplied by the same factor, and the pass goes on with the corrected signal. So every weight is measured
on the signal that really arrives, in one pass, where the layer-sequential method needs one for every layer. That
holds only where the output is homogeneous of degree one in the weight; elsewhere the predicted value stays, and the
plan says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gainstage.backends.shared.calibration import is_held
from gainstage.backends.torch.models.preserve import preserved
from gainstage.backends.torch.tracing.fitting import fitting_batch
from gainstage.backends.torch.tracing.graph_building import named_parameters
from gainstage.backends.torch.tracing.interpreter import Eye
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.backends.torch.tracing.traced_run import observe
from gainstage.backends.torch.writing.calibrating_pass import CalibratingPass
from gainstage.backends.torch.writing.reuse import settled_by_uses
from gainstage.backends.torch.writing.write import apply
from gainstage.records import Plan

__all__ = ["calibrate"]

_ROUNDS = 8  # passes at most in which weights that do not follow their sources are found out


def calibrate(model: nn.Module, plan: Plan, inputs: Any, *, seed: int = 0) -> Plan:
    """Bring every calibrated output of a batch to its level, in place, in one forward pass.

    The pass keeps nothing but the signal itself, so its memory is that of inference; modes, buffers and random state
    are left as they were found. A table that is tied to the output is not touched: what was calibrated since would no
    longer hold. Weights that are used several times, and weights that are made of several parameters, take further
    passes: they are measured on all of their uses, and by whether they follow a factor on what they are made of.

    Args:
        model: with the plan's weights already written.
        plan: whose assignments carry the level of the output they aim at.
        inputs: the batch.
        seed: random state of the pass (dropout).

    Returns:
        the plan with the measured scales and biases; applying it to the same model draws the same weights again. What
        was left to its predicted value says why.

    Raises:
        ModelError: the model's own forward raised; the weights are then partly rescaled.
    """
    model = unwrap(model)
    batch = fitting_batch(inputs, model).copied()

    def look(eye: Eye) -> None:
        with preserved(model, seed, batch.loose, weights=False), torch.no_grad():
            observe(model, batch, eye=eye)

    parameters, _ = named_parameters(model)
    pass_ = first = CalibratingPass(parameters, plan, batch.examples)
    look(pass_.correct)
    if pass_.again:
        pass_ = _with_reused(parameters, plan, batch.examples, pass_, look)
    if pass_.assembled:
        pass_ = _with_assembled(parameters, plan, batch.examples, pass_, look)
    done = pass_.found.carried_out(plan)
    if pass_ is not first:
        apply(model, done)  # one draw times one factor: the bytes that the plan will write again
    return done


def _with_reused(
    parameters: dict[str, torch.Tensor], plan: Plan, examples: int, first: CalibratingPass, look: Callable[[Eye], None]
) -> CalibratingPass:
    """Set the weights that are used several times by all their uses, and calibrate the others around them."""
    reused = frozenset(first.again)
    with torch.no_grad():
        for path in reused & first.found.scales.keys():
            parameters[path].div_(first.found.scales.pop(path))
    factors = settled_by_uses(parameters, {a.parameter: a for a in plan}, reused, examples, look)
    first.found.left.clear()  # what was said of signals that have changed since
    first.found.notes.clear()
    last = CalibratingPass(parameters, plan, examples, found=first.found, skip=reused)
    for path in reused:
        factor, uses = factors.get(path, (1.0, 0))
        last.found.rescaled(path, factor)
        last.found.notes[path] = f"set by all of its {uses} uses" if uses else "its uses could not be measured"
    look(last.correct)
    return last


def _with_assembled(
    parameters: dict[str, torch.Tensor], plan: Plan, examples: int, first: CalibratingPass, look: Callable[[Eye], None]
) -> CalibratingPass:
    """Look whether the weights that are made of several parameters followed the factor on these; put others back."""
    found, last, refused = first.found, first, frozenset[str]()
    for _ in range(_ROUNDS):
        seen = CalibratingPass(parameters, plan, examples, found=found, skip=frozenset(parameters))
        seen.watched = last.assembled
        look(seen.watch)
        # What stands behind one that does not follow misses its level too: the first one alone is known to be at fault.
        lost = next((path for path, level in seen.levels.items() if not is_held(level, seen.watched[path][1])), None)
        if lost is None:
            break
        with torch.no_grad():
            for path in seen.watched[lost][0]:
                parameters[path].div_(found.scales.pop(path))
                found.left[path] = "the weight that it is part of does not follow its scale"
                found.notes.pop(path, None)
        refused |= frozenset(seen.watched[lost][0])
        last = CalibratingPass(parameters, plan, examples, found=found, skip=refused | first.skip)
        look(last.correct)
    return last
