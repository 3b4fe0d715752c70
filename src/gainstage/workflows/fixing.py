"""Apply the remedies that findings propose, measure again, and say what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gainstage import planning, rules
from gainstage.backends import backend_of
from gainstage.records import Change, Diagnosis, Finding, Fixed, Severity

__all__ = ["fix"]


def fix(
    model: Any,
    diagnosis: Diagnosis,
    x: Any,
    y: Any = None,
    *,
    loss: Callable[[Any, Any], Any] | None = None,
    optimizer: Any = None,
    seed: int = 0,
) -> Fixed:
    """Apply what a diagnosis proposes, in place, and look a second time.

    A remedy that re-draws weights is applied; one that is a change of the user's own code is left to the user. Should
    the second look find more errors than the first, the weights are put back.

    Args:
        model: the model that was diagnosed.
        diagnosis: from :func:`check`.
        x, y, loss, optimizer: what it was checked with.
        seed: of the weights.

    Returns:
        both diagnoses, and for every finding whether its remedy was applied and cured it.

    Raises:
        InputError, ModelError: as :func:`check`.
    """
    backend = backend_of(model)
    wanted = [f for f in diagnosis.findings if f.remedy.action == "initialize" and f.severity is not Severity.NOTE]
    restore = backend.snapshot(model)
    for scheme, patterns in _treatments(wanted):
        # The batch alone is traced: a loss would add nothing that a plan needs, and may need real labels.
        graph = backend.trace(model, x, y, loss=loss)
        plan = planning.plan(graph, scheme, seed=seed, only=patterns)
        backend.apply(model, plan)
        if planning.recipe_entry(plan.scheme).levels.is_calibrated:
            backend.calibrate(model, plan, x)
    first = diagnosis.profile
    profile = backend.record(
        model,
        x,
        y,
        loss=loss,
        optimizer=optimizer,
        detail=first.source.detail,
        seed=first.source.seed or 0,
        synthetic=any(facts.synthetic for facts in first.task.inputs),
    )
    after = rules.judge(profile)
    worse = bool(wanted) and _errors(after) > _errors(diagnosis)
    changes = tuple(
        _change(f, f in wanted, after, worse) for f in diagnosis.findings if f.severity is not Severity.NOTE
    )
    if worse:
        restore()
        after = diagnosis
    return Fixed(diagnosis, after, changes)


def _treatments(findings: Iterable[Finding]) -> list[tuple[str, tuple[str, ...]]]:
    """What to draw anew: one treatment of the whole model makes every narrower one of the same scheme needless."""
    asked = list(dict.fromkeys((f.remedy.scheme, f.remedy.patterns) for f in findings))
    whole = {scheme for scheme, patterns in asked if not patterns}
    return [(scheme, patterns) for scheme, patterns in asked if not patterns or scheme not in whole]


def _errors(diagnosis: Diagnosis) -> int:
    return sum(f.severity is Severity.ERROR for f in diagnosis.findings)


def _flatten(findings: Iterable[Finding]) -> Iterable[Finding]:
    for finding in findings:
        yield finding
        yield from _flatten(finding.consequences)


def _change(finding: Finding, applied: bool, after: Diagnosis, worse: bool) -> Change:
    """What became of one finding."""
    left = [f for f in _flatten(after.findings) if f.code == finding.code and f.severity is not Severity.NOTE]
    same = [f for f in left if f.path == finding.path] or left
    if worse:
        return Change(
            finding, applied, False, "The weights were put back: the second look found more errors than the first."
        )
    if not same:
        how = "The remedy was applied, and the finding is gone." if applied else "Gone after the other remedies."
        return Change(finding, applied, True, how)
    now = f"It is still there: {same[0].evidence}"
    if not applied:
        return Change(finding, False, False, f"This is a change of your own code: {finding.remedy.summary}")
    return Change(finding, True, False, f"The remedy was applied and did not cure it. {now}")
