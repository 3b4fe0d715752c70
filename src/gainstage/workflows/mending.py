"""Initialize what a check finds at fault, and leave a healthy start as the model made it."""

from __future__ import annotations

from dataclasses import replace

from gainstage.records import Diagnosis, Finding, Plan, Severity
from gainstage.rules import Fitness

__all__ = ["is_worse", "left_alone", "limited", "taken_back"]

_HEALTHY = "left as the model made it: a check found nothing at fault"
_OUTSIDE = "left as the model made it: nothing was found at fault here"
_TOLD = 4  # faults that a note lists


def left_alone(plan: Plan, fit: Fitness) -> Plan:
    """A plan that keeps everything, with what was measured.

    Args:
        plan: that keeps every parameter.
        fit: what the check found.
    """
    kept = tuple(replace(a, reason=_HEALTHY) for a in plan)
    found = f": {fit.evidence}" if fit.evidence else ""
    note = f"Left as the model made it, since a check found nothing at fault{found}. The scheme 'auto' draws it anew."
    return replace(plan, assignments=kept, scheme="mend", notes=(*plan.notes, note))


def limited(plan: Plan, fit: Fitness) -> Plan:
    """The plan of what is drawn anew, with the faults that it is to mend.

    Args:
        plan: limited to the parameters at fault.
        fit: what the check found.
    """
    lines = tuple(
        replace(a, reason=_OUTSIDE) if a.scheme == "keep" and fit.patterns and "not among" in a.reason else a
        for a in plan
    )
    told = "; ".join(fit.faults[:_TOLD])
    more = f"; and {len(fit.faults) - _TOLD} more" if len(fit.faults) > _TOLD else ""
    where = f"{len(lines) - sum(a.scheme == 'keep' for a in lines)} of {len(lines)} arrays" if fit.patterns else "all"
    return replace(
        plan, assignments=lines, scheme="mend", notes=(*plan.notes, f"Drawn anew ({where}), since {told}{more}.")
    )


def is_worse(before: Diagnosis, after: Diagnosis) -> Finding | None:
    """The first error that new weights have caused, where they have caused as many as they have cured; else None.

    An error is known by its rule and its place: one that moves on to another rule is a new one.
    """
    old, new = _errors(before), _errors(after)
    caused = [finding for key, finding in new.items() if key not in old]
    cured = [key for key in old if key not in new]
    return caused[0] if caused and len(caused) >= len(cured) else None


def taken_back(plan: Plan, kept: Plan, cause: Finding) -> Plan:
    """A plan that keeps everything and says which error the weights of another plan have caused."""
    told = f"{cause.code} at '{cause.path}': {cause.evidence}" if cause.path else f"{cause.code}: {cause.evidence}"
    note = f"New weights were tried and taken back, since they caused an error that was not there before. {told}"
    return replace(kept, scheme="mend", notes=(*plan.notes, note))


def _errors(diagnosis: Diagnosis) -> dict[tuple[str, str], Finding]:
    return {(f.code, f.path): f for f in diagnosis.findings if f.severity is Severity.ERROR}
