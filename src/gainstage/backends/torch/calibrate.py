"""Calibration: one forward pass in which every weight is rescaled as the pass reaches it.

When the pass arrives at a weight, the output it has just produced is measured with its bias taken off; weight and
output are multiplied by the same factor, and the pass goes on with the corrected signal. So every weight is measured
on the signal that really arrives, in one pass, where the layer-sequential method needs one for every layer. That
holds only where the output is homogeneous of degree one in the weight; elsewhere the predicted value stays, and the
plan says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from gainstage.backends.torch import operations as table
from gainstage.backends.torch.assemble import named_parameters
from gainstage.backends.torch.batch import prepare
from gainstage.backends.torch.call import Draft
from gainstage.backends.torch.moments import moments_of
from gainstage.backends.torch.observe import observe
from gainstage.backends.torch.preserve import preserved
from gainstage.backends.torch.trace import unwrap
from gainstage.graph import Operation, Use
from gainstage.records import Assignment, Plan

__all__ = ["calibrate"]

_HOMOGENEOUS = table.TRANSPARENT | {"split", "split_with_sizes", "chunk", "slice", "select", "unbind", "narrow"}
_TOO_FAR = 1e6  # a factor beyond this says that the signal was lost before, not that the weight was drawn badly


def calibrate(model: nn.Module, plan: Plan, inputs: Any, *, seed: int = 0) -> Plan:
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
        ModelError: the model's own forward raised; the weights are then partly rescaled.
    """
    model = unwrap(model)
    batch = prepare(inputs, model)
    pass_ = _Pass(model, plan)
    with preserved(model, seed), torch.no_grad():
        observe(model, batch, eye=pass_.correct)
    return replace(plan, assignments=tuple(pass_.result(a) for a in plan))


@dataclass(frozen=True, slots=True)
class _Weight:
    """The weight that one node may rescale."""

    assignment: Assignment
    tensor: torch.Tensor


class _Pass:
    """What one calibrating pass has done so far."""

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        self.parameters, _ = named_parameters(model)
        self.plan: Mapping[str, Assignment] = {a.parameter: a for a in plan}
        self.scales: dict[str, float] = {}
        self.biases: dict[str, tuple[float, ...]] = {}
        self.left: dict[str, str] = {}

    def result(self, assignment: Assignment) -> Assignment:
        """What became of one assignment."""
        path = assignment.parameter
        if path in self.biases:
            reason = f"{assignment.reason}; the mean was measured for every unit"
            return replace(assignment, scheme="measured", bias="measured", values=self.biases[path], reason=reason)
        if path in self.scales:
            scale = self.scales[path]
            spread = None if assignment.spread is None else assignment.spread * scale
            note = "" if path not in self.left else f"; {self.left[path]}"
            reason = f"{assignment.reason}; calibrated by {scale:.4g}{note}"
            return replace(assignment, scale=assignment.scale * scale, spread=spread, reason=reason)
        if assignment.level is not None:
            return replace(assignment, reason=f"{assignment.reason}; predicted only: {self.left.get(path, _UNSEEN)}")
        return assignment

    def correct(self, draft: Draft, output: torch.Tensor) -> None:
        """Rescale the weight of one node together with the output it has just produced."""
        if draft.stage != "model" or draft.operation not in (Operation.LINEAR, Operation.CONVOLUTION):
            return
        weight = self._weight(draft)
        if weight is None:
            return
        path, level = weight.assignment.parameter, weight.assignment.level
        bias = self._bias(draft, output)
        if bias is not None:
            output.sub_(bias)
        mean = self._unit_means(draft, output) if self._centres(draft) else None
        if mean is not None:
            output.sub_(mean)
        measured = moments_of(output).second_moment
        factor = math.sqrt(level / measured) if level is not None and 0 < measured < math.inf else math.nan
        if not 1 / _TOO_FAR < factor < _TOO_FAR:
            self.left[path] = f"the signal arrived with a level of {measured:.3g}"
            if mean is not None:
                output.add_(mean)
        else:
            weight.tensor.mul_(factor)
            output.mul_(factor)
            self.scales[path] = factor
        if mean is not None and path in self.scales:
            self._set_bias(draft, mean * -factor)
        elif bias is not None:
            output.add_(bias)

    # -- which weight, which bias ------------------------------------------------------------------------------------

    def _weight(self, draft: Draft) -> _Weight | None:
        """The weight to rescale; None, with the reason noted, where there is none."""
        uses = [u for u in draft.uses if u.slot == "weight"]
        found: _Weight | None = None
        for use in uses:
            assignment = self.plan.get(use.parameter)
            if assignment is None or assignment.level is None:
                continue
            reason = self._obstacle(use, uses)
            if reason:
                self.left.setdefault(use.parameter, reason)
            else:
                found = _Weight(assignment, self.parameters[use.parameter])
        return found

    def _obstacle(self, use: Use, uses: list[Use]) -> str:
        if use.parameter in self.scales:
            return "used again later in the pass, and left as its first use set it"
        if len(uses) > 1:
            return "the weight is made of several parameters"
        if not set(use.derivation) <= _HOMOGENEOUS:
            return f"the weight is derived through {', '.join(sorted(set(use.derivation) - _HOMOGENEOUS))}"
        return ""

    def _bias(self, draft: Draft, output: torch.Tensor) -> torch.Tensor | None:
        """The bias that the output already holds, shaped to be taken off."""
        total: torch.Tensor | None = None
        for use in draft.uses:
            if use.slot == "bias" and set(use.derivation) <= _HOMOGENEOUS:
                bias = self.parameters[use.parameter].detach()
                total = bias if total is None else total + bias
        if total is None or not bool(total.any()):
            return None
        return self._along_units(draft, total.to(output.dtype), output)

    def _along_units(self, draft: Draft, vector: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        axis = draft.unit_axis if draft.unit_axis is not None else output.dim() - 1
        return vector.reshape([-1 if i == axis else 1 for i in range(output.dim())])

    def _centres(self, draft: Draft) -> bool:
        return any(a is not None and a.bias == "centre" for a in self._bias_assignments(draft))

    def _bias_assignments(self, draft: Draft) -> list[Assignment | None]:
        return [self.plan.get(u.parameter) for u in draft.uses if u.slot == "bias"]

    def _unit_means(self, draft: Draft, output: torch.Tensor) -> torch.Tensor:
        axis = draft.unit_axis if draft.unit_axis is not None else output.dim() - 1
        others = [i for i in range(output.dim()) if i != axis]
        return output.float().mean(others, keepdim=True).to(output.dtype)

    def _set_bias(self, draft: Draft, values: torch.Tensor) -> None:
        for use in draft.uses:
            if use.slot == "bias" and (a := self.plan.get(use.parameter)) is not None and a.bias == "centre":
                parameter = self.parameters[use.parameter]
                parameter.copy_(values.reshape(parameter.shape))
                self.biases[use.parameter] = tuple(float(v) for v in parameter.detach().float().reshape(-1))


_UNSEEN = "no operation of this batch uses it as a plain weight"
