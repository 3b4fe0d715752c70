"""When calibration and LSUV rescale a weight, and what the plan states afterwards, in every backend."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from gainstage.errors import InputError
from gainstage.graph import DerivationStep, Role, Use
from gainstage.records import Assignment, Plan

__all__ = [
    "AMPLIFY",
    "AT_A_BRANCH_END",
    "TOO_FAR",
    "Calibration",
    "brought_to_one",
    "degree",
    "is_assembled",
    "is_held",
    "is_usable",
    "largest_factor",
    "lsuv_plan",
    "measured_where_filled",
    "not_amplified",
    "obstacle",
    "require_tries",
    "too_weak",
]

TOO_FAR = 1e6
"""A factor beyond this, or below its inverse, means that the signal was lost earlier, not that one draw was bad."""

AMPLIFY = 4.0
"""The largest factor on a weight inside a plain run that does not read the input or rows of a table.

What asks for more has been averaged away (a silent gate, pooling over many places). Amplified layer after layer it
carries noise forward and an exploding gradient back."""

AT_A_BRANCH_END = 1.1
"""The largest factor on the last weight of a residual branch: what one draw scatters by.

Attention that averages over many places hands on what they share. A factor that makes up for the lost variance
multiplies the shared part in every block, until it is all that the stream holds. A branch that stays quieter than its
share harms nothing."""

_HELD = 0.25  # of a level: how far a weight made of several may miss it before its sources count as not understood
_UNSEEN = "no operation of this batch uses it as a weight"


@dataclass(slots=True)
class Calibration:
    """What one calibrating pass has measured so far, by parameter path.

    Args:
        scales: the factor on a weight.
        biases: the values of a bias that takes the mean off every unit.
        left: why a weight keeps its predicted level.
        notes: how a weight was rescaled, where that is not the usual way.
    """

    scales: dict[str, float] = field(default_factory=dict)
    biases: dict[str, tuple[float, ...]] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def rescaled(self, path: str, factor: float) -> None:
        """Note a further factor on a weight."""
        self.scales[path] = self.scales.get(path, 1.0) * factor

    def carried_out(self, plan: Plan) -> Plan:
        """The plan with the measured scales and biases, and with the reason where a level is predicted only."""
        return replace(plan, assignments=tuple(self._result(a) for a in plan))

    def _result(self, assignment: Assignment) -> Assignment:
        path = assignment.parameter
        if path in self.biases:
            reason = f"{assignment.reason}; the mean was measured for every unit"
            return replace(assignment, scheme="measured", bias="measured", values=self.biases[path], reason=reason)
        if path in self.scales:
            told = self.left.get(path) or self.notes.get(path)
            note = f"; {told}" if told else ""
            reason = f"{assignment.reason}; calibrated by {self.scales[path]:.4g}{note}"
            return _rescaled(assignment, self.scales[path], reason)
        if assignment.level is not None:
            return replace(assignment, reason=f"{assignment.reason}; predicted only: {self.left.get(path, _UNSEEN)}")
        return assignment


def degree(uses: Collection[Use]) -> int:
    """Return how many parameters are multiplied with one another in a weight: 2 for a product of two.

    >>> from gainstage.graph import DerivationStep
    >>> degree([Use("a", "weight", (DerivationStep.PRODUCT,)), Use("b", "weight", (DerivationStep.PRODUCT,))])
    2
    """
    return max(1, sum(DerivationStep.PRODUCT in use.derivation for use in uses))


def is_assembled(uses: Collection[Use]) -> bool:
    """Report whether a weight is computed from parameters in a way that a factor on them can pass through.

    Whether it does is measured: a step such as a division can take it out again.
    """
    changed = any(not step.rescales for use in uses for step in use.derivation)
    steps = {step for use in uses for step in use.derivation if not step.rescales}
    return bool(uses) and (len(uses) > 1 or changed) and steps <= _PROPORTIONAL


_PROPORTIONAL = frozenset(
    {
        DerivationStep.CONCATENATE, DerivationStep.PRODUCT, DerivationStep.SUM, DerivationStep.DIFFERENCE,
        DerivationStep.SCALE, DerivationStep.NEGATE, DerivationStep.MASK,
    }
)  # fmt: skip


def obstacle(use: Use, uses: Collection[Use], taken: Collection[str]) -> str:
    """Why a weight cannot be rescaled together with its output; empty where it can.

    Args:
        use: of the weight.
        uses: of all parameters that make up the operation's weight.
        taken: paths of the weights that were rescaled earlier in the pass.
    """
    if use.parameter in taken:
        return "used again later in the pass, and left as its first use set it"
    if len(uses) > 1:
        return "the weight is made of several parameters"
    between = [step for step in dict.fromkeys(use.derivation) if not step.rescales]
    return f"the weight is derived through {', '.join(between)}" if between else ""


def is_usable(factor: float) -> bool:
    """Whether a factor corrects a draw; NaN does not."""
    return 1 / TOO_FAR < factor < TOO_FAR


def largest_factor(assignment: Assignment, *, reads_plain: bool) -> float:
    """Return the largest factor that calibration puts on a weight.

    Args:
        assignment: of the weight.
        reads_plain: whether it reads the input, or rows of a table, as they are: their size is that of the data.
    """
    if assignment.role is Role.HEAD or reads_plain:
        return math.inf  # nothing behind a head would be amplified further
    return AT_A_BRANCH_END if assignment.role is Role.BRANCH_END else AMPLIFY


def measured_where_filled(share: float) -> str:
    """The note of a weight that reads padded places or silent time steps, which say nothing of a level."""
    return f"measured where a signal arrives, {share:.3g} of the places"


def not_amplified(factor: float, limit: float) -> str:
    """The note of a weight whose factor was limited."""
    return f"it would take {factor:.3g}, and a signal that weak is not amplified by more than {limit:g}"


def is_held(level: float, aim: float) -> bool:
    """Report whether a second moment equals its target within the tolerance."""
    return abs(level / aim - 1) <= _HELD


def too_weak(level: float) -> str:
    """The reason for leaving a weight whose output has such a second moment."""
    return f"the signal arrived with a level of {level:.3g}"


# -- LSUV ------------------------------------------------------------------------------------------------------------


def require_tries(tolerance: float, tries: int) -> None:
    """Refuse a tolerance or a number of forward passes that is not positive.

    Raises:
        InputError: one of them is not.
    """
    if not (tolerance > 0 and tries >= 1):
        raise InputError(f"LSUV needs a positive tolerance and at least one try; received {tolerance} and {tries}.")


def brought_to_one(
    variance: Callable[[], float | None], rescale: Callable[[float], object], tolerance: float, tries: int
) -> float | None:
    """Divide one layer's weight by the standard deviation of its output until the variance is about one.

    Args:
        variance: runs forward and returns the variance of the layer's output; None where the layer is not reached.
        rescale: multiplies the weight.
        tolerance: distance from one at which the variance may stay.
        tries: forward passes at most.

    Returns:
        the factor that the weight was multiplied by; None where the output cannot be measured.
    """
    total = 1.0
    for _ in range(tries):
        seen = variance()
        if seen is None or not 0 < seen < math.inf:
            return None
        if abs(seen - 1) < tolerance:
            break
        rescale(seen**-0.5)
        total *= seen**-0.5
    return total


def lsuv_plan(plan: Plan, scales: Mapping[str, float]) -> Plan:
    """The plan with the measured scales, by parameter path."""

    def scaled(assignment: Assignment) -> Assignment:
        scale = scales.get(assignment.parameter)
        if scale is None:
            return assignment
        reason = f"lsuv: orthogonal, then divided until its output has unit variance ({scale:.4g})"
        return _rescaled(assignment, scale, reason)

    return replace(plan, assignments=tuple(scaled(a) for a in plan))


def _rescaled(assignment: Assignment, scale: float, reason: str) -> Assignment:
    spread = None if assignment.spread is None else assignment.spread * scale
    return replace(assignment, scale=assignment.scale * scale, spread=spread, reason=reason)
