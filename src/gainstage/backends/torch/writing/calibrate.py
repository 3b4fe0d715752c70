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
from typing import Any

import torch
from torch import nn

from gainstage.backends.shared.calibration import Calibration, is_usable, obstacle, too_weak
from gainstage.backends.torch.measuring.moments import look_at
from gainstage.backends.torch.models.preserve import preserved
from gainstage.backends.torch.tracing.axes import stride_at
from gainstage.backends.torch.tracing.call import Draft
from gainstage.backends.torch.tracing.fitting import fitting_batch
from gainstage.backends.torch.tracing.graph_building import named_parameters
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.backends.torch.tracing.traced_run import observe
from gainstage.graph import Operation, Use
from gainstage.records import Assignment, Plan

__all__ = ["calibrate"]

_ROUNDING = 1e-10  # a share of variance across examples below this is what float32 leaves of none


def calibrate(model: nn.Module, plan: Plan, inputs: Any, *, seed: int = 0) -> Plan:
    """Bring every calibrated output of a batch to its level, in place, in one forward pass.

    The pass keeps nothing but the signal itself, so its memory is that of inference; modes, buffers and random state
    are left as they were found. A weight that was read before in the same pass (a tied embedding, a layer that is used
    again) is not touched: what was calibrated since would no longer hold.

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
    pass_ = _Pass(model, plan, batch.examples)
    with preserved(model, seed, batch.loose, weights=False), torch.no_grad():
        observe(model, batch, eye=pass_.correct)
    return pass_.found.carried_out(plan)


class _Pass:
    """What one calibrating pass has done so far."""

    def __init__(self, model: nn.Module, plan: Plan, examples: int) -> None:
        self.parameters, _ = named_parameters(model)
        self.plan: Mapping[str, Assignment] = {a.parameter: a for a in plan}
        self.centred = frozenset(a.weight for a in plan if a.bias == "centre")
        self.examples = examples
        self.read: dict[str, str] = {}
        self.found = Calibration()

    def correct(self, draft: Draft, output: torch.Tensor) -> None:
        """Rescale the weight of one node together with the output it has just produced."""
        if draft.stage != "model":
            return
        if draft.operation in (Operation.LINEAR, Operation.CONVOLUTION):
            self._calibrate(draft, output)
        elif draft.operation is Operation.OFFSET:
            self._centre(draft, output)
        elif draft.operation is Operation.RECURRENT:
            for derivation in (d for _, value in draft.operands for d in value.derivations):
                self.found.left.setdefault(derivation.parameter, f"inside a fused operation ({draft.function})")
        for use in draft.uses:
            if use.slot == "weight":
                self.read.setdefault(use.parameter, f"{draft.path or 'the model'} ({draft.function or draft.name})")

    def _calibrate(self, draft: Draft, output: torch.Tensor) -> None:
        assignment = self._adjustable(draft)
        if assignment is None or assignment.level is None:
            return
        path = assignment.parameter
        bias = self._bias(draft, output)
        if bias is not None:
            output.sub_(bias)
        mean = _unit_means(draft, output) if path in self.centred else None
        if mean is not None:
            output.sub_(mean)
        fault, factor = self._judge(draft, output, assignment.level)
        if fault:
            self.found.left[path] = fault
        else:
            self.parameters[path].mul_(factor)
            output.mul_(factor)
            self.found.scales[path] = factor
        if mean is None:
            if bias is not None:
                output.add_(bias)
        elif fault or not self._set_bias(draft, mean * -factor):
            # Whoever adds the bias later takes the mean off then.
            output.add_(mean if fault else mean * factor)
            if bias is not None:
                output.add_(bias)

    def _centre(self, draft: Draft, output: torch.Tensor) -> None:
        """A bias that is added on its own takes off the mean of what it is added to."""
        bias = self._bias(draft, output)
        here = [a for a in self._centring(draft) if a.weight in self.found.scales]
        if not here:
            return
        if bias is not None:
            output.sub_(bias)
        mean = _unit_means(draft, output)
        output.sub_(mean)
        self._set_bias(draft, -mean)

    def _judge(self, draft: Draft, output: torch.Tensor, level: float) -> tuple[str, float]:
        """What keeps a signal from being divided by, or else the factor that brings it to its level."""
        if not draft.from_input:
            return "it reads learned values alone, which say nothing of what will arrive", 1.0
        stride = draft.example_stride
        if stride is None and output.dim() and output.shape[0] == self.examples:
            stride = stride_at(output.shape, 0)  # what was made equal for all has lost its example axis too
        moments = look_at(output, self.examples, stride, extremes=False).moments
        measured = moments.second_moment
        if not 0 < measured < math.inf:
            return too_weak(measured), 1.0
        factor = math.sqrt(level / measured)
        if not is_usable(factor):
            return too_weak(measured), 1.0
        share = moments.example_share
        if draft.from_input and self.examples > 1 and share is not None and share < _ROUNDING:
            return "the signal that arrives is the same for all examples", 1.0
        return "", factor

    # -- which weight, which bias ------------------------------------------------------------------------------------

    def _adjustable(self, draft: Draft) -> Assignment | None:
        """The weight to rescale; None, with the reason noted, where there is none."""
        uses = [u for u in draft.uses if u.slot == "weight"]
        found: Assignment | None = None
        for use in uses:
            assignment = self.plan.get(use.parameter)
            if assignment is None or assignment.level is None:
                continue
            reason = self._obstacle(use, uses)
            if reason:
                self.found.left.setdefault(use.parameter, reason)
            else:
                found = assignment
        return found

    def _obstacle(self, use: Use, uses: list[Use]) -> str:
        if use.parameter in self.read and use.parameter not in self.found.scales:
            return f"read earlier in the pass by {self.read[use.parameter]}, which a new scale would undo"
        return obstacle(use, uses, self.found.scales)

    def _bias(self, draft: Draft, output: torch.Tensor) -> torch.Tensor | None:
        """The bias that the output already holds, shaped to be taken off."""
        total: torch.Tensor | None = None
        for use in draft.uses:
            if use.slot == "bias" and all(step.rescales for step in use.derivation):
                bias = self.parameters[use.parameter].detach().reshape(-1)
                total = bias if total is None else total + bias
        if total is None or not bool(total.any()):
            return None
        axis = _unit_axis(draft, output)
        return total.to(output.dtype).reshape([-1 if i == axis else 1 for i in range(output.dim())])

    def _centring(self, draft: Draft) -> list[Assignment]:
        found = (self.plan.get(u.parameter) for u in draft.uses if u.slot == "bias" and not u.derivation)
        return [a for a in found if a is not None and a.bias == "centre"]

    def _set_bias(self, draft: Draft, values: torch.Tensor) -> bool:
        """Write the bias that takes the mean off; whether there is one here."""
        for assignment in self._centring(draft):
            parameter = self.parameters[assignment.parameter]
            parameter.copy_(values.reshape(parameter.shape))
            self.found.biases[assignment.parameter] = tuple(parameter.detach().double().reshape(-1).tolist())
        return bool(self._centring(draft))


def _unit_axis(draft: Draft, output: torch.Tensor) -> int:
    return draft.unit_axis if draft.unit_axis is not None else output.dim() - 1


def _unit_means(draft: Draft, output: torch.Tensor) -> torch.Tensor:
    axis = _unit_axis(draft, output)
    others = [i for i in range(output.dim()) if i != axis]
    return output.float().mean(others, keepdim=True).to(output.dtype)
