"""One forward pass in which the weight of every node is rescaled together with the output it has just produced."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from gainstage.backends.shared.calibration import (
    Calibration,
    degree,
    is_assembled,
    is_usable,
    largest_factor,
    measured_where_filled,
    not_amplified,
    obstacle,
    too_weak,
)
from gainstage.backends.torch.tracing.call import Draft
from gainstage.backends.torch.writing.outputs import bias_of, level_of, moments_at, unit_axis
from gainstage.graph import Operation, Use
from gainstage.graph.groups import LEVEL_KEEPING, MIXING
from gainstage.records import Assignment, Plan

__all__ = ["CalibratingPass"]

_PLAIN = frozenset({Operation.INPUT, Operation.EMBEDDING})
_ROUNDING = 1e-10  # a share of variance across examples below this is what float32 leaves of none
_AGAIN = "used again later in the pass, and left as its first use set it"


class CalibratingPass:
    """The state of one calibrating pass.

    Args:
        parameters: tensors by path; written in place.
        plan: whose assignments carry the level of the output they aim at.
        examples: in the batch.
        found: what earlier passes have done; this one goes on with it.
        skip: paths of the weights that this pass leaves alone.
    """

    def __init__(
        self, parameters: dict[str, torch.Tensor], plan: Plan, examples: int, *,
        found: Calibration | None = None, skip: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self.parameters = parameters
        self.plan: Mapping[str, Assignment] = {a.parameter: a for a in plan}
        self.centred = frozenset(a.weight for a in plan if a.bias == "centre")
        self.examples, self.skip = examples, skip
        self.read: dict[str, str] = {}
        self.found = found or Calibration()
        self.taken: set[str] = set()
        self.again: set[str] = set()  # weights that a later operation uses too
        self.assembled: dict[str, tuple[tuple[str, ...], float]] = {}  # by one source: all sources, level aimed at
        self.plain: set[int] = set()  # nodes that hold the input, or rows of a table, as they are
        self.watched: Mapping[str, tuple[tuple[str, ...], float]] = {}
        self.levels: dict[str, float] = {}

    def correct(self, draft: Draft, output: torch.Tensor) -> None:
        """Rescale the weight of one node together with the output it has just produced."""
        if draft.stage != "model":
            return
        if draft.operation in _PLAIN or (draft.operation in LEVEL_KEEPING and self.plain.issuperset(draft.inputs)):
            self.plain.add(draft.index)
        if draft.operation in MIXING:
            self._calibrate(draft, output)
        elif draft.operation is Operation.OFFSET:
            self._centre(draft, output)
        elif draft.operation is Operation.RECURRENT:
            for derivation in (d for _, value in draft.operands for d in value.derivations):
                self.found.left.setdefault(derivation.parameter, f"inside a fused operation ({draft.function})")
        for use in draft.uses:
            if use.slot == "weight":
                self.read.setdefault(use.parameter, f"{draft.path or 'the model'} ({draft.function or draft.name})")

    def watch(self, draft: Draft, output: torch.Tensor) -> None:
        """Measure the outputs of the weights that are made of several parameters."""
        sources = [u.parameter for u in draft.uses if u.slot == "weight"]
        if draft.stage == "model" and draft.operation in MIXING and sources and sources[0] in self.watched:
            self.levels.setdefault(sources[0], level_of(draft, output, self.parameters, self.examples))

    def _calibrate(self, draft: Draft, output: torch.Tensor) -> None:
        uses = [u for u in draft.uses if u.slot == "weight"]
        paths = tuple(dict.fromkeys(u.parameter for u in uses))
        assignment = self._adjustable(uses, paths)
        if assignment is None or assignment.level is None:
            return
        bias = bias_of(draft, output, self.parameters)
        if bias is not None:
            output.sub_(bias)
        mean = _unit_means(draft, output) if assignment.parameter in self.centred else None
        if mean is not None:
            output.sub_(mean)
        fault, factor = self._judge(draft, output, assignment)
        if fault:
            self.found.left.update(dict.fromkeys(paths, fault))
        else:
            factor = factor if is_assembled(uses) else self._restrained(draft, paths[0], factor)
            self._rescale(uses, paths, factor, assignment.level)
            output.mul_(factor)
        if mean is None:
            if bias is not None:
                output.add_(bias)
        elif fault or not self._set_bias(draft, mean * -factor):
            # Whoever adds the bias later takes the mean off then.
            output.add_(mean if fault else mean * factor)
            if bias is not None:
                output.add_(bias)

    def _restrained(self, draft: Draft, path: str, factor: float) -> float:
        """The factor, or the largest one that the weight may get."""
        before = self.found.scales.get(path, 1.0)
        limit = largest_factor(self.plan[path], reads_plain=self.plain.issuperset(draft.inputs))
        if factor * before <= limit:
            return factor
        self.found.notes[path] = not_amplified(factor * before, limit)
        return max(limit / before, min(factor, 1.0))

    def _rescale(self, uses: list[Use], paths: tuple[str, ...], factor: float, level: float) -> None:
        """Multiply what a weight is made of, so that the weight is multiplied by the factor."""
        own = factor ** (1 / degree(uses))
        for path in paths:
            self.parameters[path].mul_(own)
            self.found.rescaled(path, own)
        if is_assembled(uses):
            self.assembled[paths[0]] = paths, level
            what = "all that its weight is made of" if len(paths) > 1 else "through the changes before its use"
            self.found.notes.setdefault(paths[0], f"measured {what}" if len(paths) == 1 else f"with {what}")
        self.taken.update(paths)

    def _centre(self, draft: Draft, output: torch.Tensor) -> None:
        """A bias that is added on its own takes off the mean of what it is added to."""
        bias = bias_of(draft, output, self.parameters)
        here = [a for a in self._centring(draft) if a.weight in self.found.scales]
        if not here:
            return
        if bias is not None:
            output.sub_(bias)
        mean = _unit_means(draft, output)
        output.sub_(mean)
        self._set_bias(draft, -mean)

    def _judge(self, draft: Draft, output: torch.Tensor, assignment: Assignment) -> tuple[str, float]:
        """Return the reason why a signal cannot be rescaled, or else the factor that brings it to its level."""
        if not draft.from_input:
            return "it reads learned values alone, which say nothing of what will arrive", 1.0
        moments = moments_at(draft, output, self.examples)
        measured = moments.second_moment
        if 0 < measured < math.inf and not self.plain.issuperset(draft.inputs):
            filled = _filled(output, unit_axis(draft, output))
            measured /= filled
            if filled < 1:
                self.found.notes[assignment.parameter] = measured_where_filled(filled)
        if not 0 < measured < math.inf:
            return too_weak(measured), 1.0
        factor = math.sqrt((assignment.level or 0.0) / measured)
        if not is_usable(factor):
            return too_weak(measured), 1.0
        share = moments.example_share
        if draft.from_input and self.examples > 1 and share is not None and share < _ROUNDING:
            return "the signal that arrives is the same for all examples", 1.0
        return "", factor

    # -- which weight, which bias ------------------------------------------------------------------------------------

    def _adjustable(self, uses: list[Use], paths: tuple[str, ...]) -> Assignment | None:
        """The weight to rescale; None, with the reason noted, where there is none."""
        planned = [a for path in paths if (a := self.plan.get(path)) is not None and a.level is not None]
        if not planned or self.skip.intersection(paths):
            return None
        self.again.update(a.parameter for a in planned if a.parameter in self.taken and len(paths) == 1)
        made = is_assembled(uses) and len(planned) == len(paths)
        found: Assignment | None = None
        for use in uses:
            assignment = self.plan.get(use.parameter)
            if assignment is None or assignment.level is None:
                continue
            reason = self._obstacle(use, uses, made)
            if reason:
                self.found.left.setdefault(use.parameter, reason)
                found = None if made else found
            elif found is None or not made:
                found = assignment
        return None if made and any(path in self.found.left for path in paths) else found

    def _obstacle(self, use: Use, uses: list[Use], made: bool) -> str:
        if use.parameter in self.read and use.parameter not in self.found.scales:
            return f"read earlier in the pass by {self.read[use.parameter]}, which a new scale would undo"
        if made:
            return _AGAIN if use.parameter in self.taken else ""
        return obstacle(use, uses, self.taken)

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


def _filled(output: torch.Tensor, units: int) -> float:
    """Share of the places that hold a signal: padded places and silent time steps are zero in every unit."""
    if int(torch.count_nonzero(output)) == output.numel():
        return 1.0
    return float((output != 0).any(units).float().mean())


def _unit_means(draft: Draft, output: torch.Tensor) -> torch.Tensor:
    axis = unit_axis(draft, output)
    others = [i for i in range(output.dim()) if i != axis]
    return output.float().mean(others, keepdim=True).to(output.dtype)
