"""Calibration: one forward pass in which every weight is rescaled as the pass reaches it.

When the replay arrives at a weight, the output it has just produced is measured with its bias taken off; weight and
output are multiplied by the same factor, and the pass goes on with the corrected signal. Only where the output is
homogeneous of degree one in the weight; elsewhere the predicted value stays, and the plan says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras import ops

from gainstage.backends.keras.measuring.gradients import compiled
from gainstage.backends.keras.measuring.replay import replay
from gainstage.backends.keras.models.batch import as_array, prepare, values_of
from gainstage.backends.keras.tracing.call import Draft
from gainstage.backends.keras.tracing.trace import Program, program_of, require_model
from gainstage.backends.keras.writing.write import rescale
from gainstage.backends.shared.calibration import TOO_FAR, Calibration, is_usable, obstacle, too_weak
from gainstage.graph import Operation
from gainstage.records import Assignment, Plan

__all__ = ["calibrate"]


def calibrate(model: Any, plan: Plan, inputs: Any, *, seed: int = 0) -> Plan:
    """Bring every calibrated output of a batch to its level, in place, in one forward pass.

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
    found = Calibration()
    sites = _sites(program, {a.parameter: a for a in plan}, found.left)
    by_node = {site.draft.index: site for site in sites}

    def measure(arrays: list[Any]) -> dict[int, tuple[Any, Any, Any]]:
        seen: dict[int, tuple[Any, Any, Any]] = {}

        def tap(node: int, output: Any) -> Any:
            if node not in by_node:
                return output
            corrected, level, factor, mean = _corrected(by_node[node], output, program)
            seen[node] = level, factor, mean
            return corrected

        replay(program, arrays, {}, seed=seed, tap=tap)
        return seen

    measured = compiled(measure)([ops.convert_to_tensor(a) for a in batch.arrays])
    for node, (level, factor, mean) in measured.items():
        site = by_node[node]
        path, scale = site.assignment.parameter, float(as_array(factor))
        if not is_usable(scale):
            found.left[path] = too_weak(float(as_array(level)))
            continue
        found.scales[path] = scale
        rescale(program.parameters[path], scale)
        if site.centred is not None:
            bias = program.parameters[site.centred]
            bias.assign(ops.reshape(-scale * mean, bias.shape))
            found.biases[site.centred] = tuple(float(v) for v in values_of(bias).reshape(-1))
    return found.carried_out(plan)


@dataclass(frozen=True, slots=True)
class _Site:
    """One node whose weight may be rescaled.

    Args:
        draft: the node.
        assignment: of its weight.
        biases: paths of the biases that its output holds.
        centred: the one that is to take off the mean of every unit, if any.
    """

    draft: Draft
    assignment: Assignment
    biases: tuple[str, ...]
    centred: str | None


def _sites(program: Program, plan: Mapping[str, Assignment], left: dict[str, str]) -> list[_Site]:
    """Where the pass rescales; ``left`` takes the reasons why it does not elsewhere, by path."""
    sites: list[_Site] = []
    taken: set[str] = set()
    for draft in program.drafts:
        if draft.stage != "model" or draft.operation not in (Operation.LINEAR, Operation.CONVOLUTION):
            continue
        uses = [u for u in draft.uses if u.slot == "weight"]
        for use in uses:
            assignment = plan.get(use.parameter)
            if assignment is None or assignment.level is None:
                continue
            reason = obstacle(use, uses, taken)
            if reason:
                left.setdefault(use.parameter, reason)
                continue
            taken.add(use.parameter)
            biases = tuple(
                u.parameter for u in draft.uses if u.slot == "bias" and all(step.rescales for step in u.derivation)
            )
            centred = next((b for b in biases if b in plan and plan[b].bias == "centre"), None)
            sites.append(_Site(draft, assignment, biases, centred))
    return sites


def _corrected(site: _Site, output: Any, program: Program) -> tuple[Any, Any, Any, Any]:
    """The output at its level; the level found, the factor, and the mean of every unit that is taken off."""
    dtype, shape = output.dtype, tuple(output.shape)
    plain = ops.cast(output, "float32")
    bias: Any = 0.0
    for path in site.biases:
        bias = bias + _along_units(site, ops.cast(program.parameters[path], "float32"), shape)
    plain = plain - bias
    others = [axis for axis in range(len(shape)) if axis not in _unit_axes(site, program, shape)]
    mean = ops.mean(plain, axis=others, keepdims=True)
    if site.centred is not None:
        plain = plain - mean
    level = ops.mean(ops.square(plain))
    factor = ops.sqrt((site.assignment.level or 0.0) / ops.maximum(level, 1e-37))
    usable = ops.logical_and(ops.greater(factor, 1 / TOO_FAR), ops.less(factor, TOO_FAR))
    scaled = plain * factor + (0.0 if site.centred is not None else bias)
    corrected = ops.where(usable, ops.cast(scaled, dtype), output)
    return corrected, level, ops.where(usable, factor, math.nan), mean


def _along_units(site: _Site, vector: Any, shape: tuple[int, ...]) -> Any:
    """A bias shaped to be added to the output: along the last axes, or along channels."""
    if len(vector.shape) > 1:
        return vector
    axis = site.draft.unit_axis if site.draft.unit_axis is not None else len(shape) - 1
    return ops.reshape(vector, [-1 if i == axis else 1 for i in range(len(shape))])


def _unit_axes(site: _Site, program: Program, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes that a centred bias runs over."""
    rank = len(program.parameters[site.centred].shape) if site.centred is not None else 1
    if rank > 1:
        return tuple(range(len(shape) - rank, len(shape)))
    return (site.draft.unit_axis if site.draft.unit_axis is not None else len(shape) - 1,)
