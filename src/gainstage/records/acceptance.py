"""Findings that a project lives with: those it accepts for a reason, and those it had before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from gainstage.records.diagnosis import Accepted, Diagnosis, Finding, Severity

__all__ = ["Acceptance", "Known", "accepting", "against", "known_findings"]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A decision to live with a finding.

    Args:
        rule: the finding's rule, by code, or the beginning of codes: ``GS1`` names every rule about the signal.
        reason: why, in words; it is shown wherever the finding would be.
        path: the module or parameter, as a pattern in which ``*`` stands for any characters.
    """

    rule: str
    reason: str
    path: str = "*"

    def covers(self, finding: Finding) -> bool:
        """Return whether this decision is about the finding."""
        return finding.code.startswith(self.rule) and fnmatchcase(finding.path, self.path)


@dataclass(frozen=True, slots=True)
class Known:
    """A finding as a baseline remembers it.

    Args:
        code: of the rule.
        severity: how bad it was then. A finding that has become worse counts as new.
        path: the module or parameter; empty for the whole model.
    """

    code: str
    severity: Severity
    path: str

    def covers(self, finding: Finding) -> bool:
        """Return whether this is the finding, and it has not become worse."""
        same = (finding.code, finding.path) == (self.code, self.path)
        return same and finding.severity.rank >= self.severity.rank


def known_findings(diagnosis: Diagnosis) -> tuple[Known, ...]:
    """List what a diagnosis holds, consequences and accepted findings included: what a baseline remembers."""
    return tuple(sorted(set(_known((*diagnosis.findings, *(a.finding for a in diagnosis.accepted)))), key=_order))


def _known(findings: Iterable[Finding]) -> Iterable[Known]:
    for finding in findings:
        yield Known(finding.code, finding.severity, finding.path)
        yield from _known(finding.consequences)


def _order(known: Known) -> tuple[str, str, int]:
    return known.code, known.path, known.severity.rank


def accepting(diagnosis: Diagnosis, decisions: Iterable[Acceptance]) -> Diagnosis:
    """Move findings that a project accepts out of the verdict, each with its reason.

    What follows from an accepted finding is accepted with it.

    Args:
        diagnosis: the verdict.
        decisions: the first that covers a finding gives the reason.
    """
    decisions = tuple(decisions)
    return _moved(diagnosis, lambda f: next((d.reason for d in decisions if d.covers(f)), None))


def against(diagnosis: Diagnosis, baseline: Iterable[Known]) -> Diagnosis:
    """Move findings that a baseline holds out of the verdict, so that only new and worse ones remain.

    A finding is new although its cause was known where one of its consequences is: it stays as a whole.

    Args:
        diagnosis: the verdict.
        baseline: what was found before, as ``known_findings`` lists it.
    """
    before = tuple(baseline)

    def reason(finding: Finding) -> str | None:
        every = all(any(known.covers(f) for known in before) for f in _with_consequences(finding))
        return "in the baseline" if every else None

    return _moved(diagnosis, reason)


def _with_consequences(finding: Finding) -> Iterable[Finding]:
    yield finding
    for consequence in finding.consequences:
        yield from _with_consequences(consequence)


def _moved(diagnosis: Diagnosis, reason: Callable[[Finding], str | None]) -> Diagnosis:
    """Move the findings that have a reason to be accepted."""
    reasons = [reason(finding) for finding in diagnosis.findings]
    kept = tuple(f for f, why in zip(diagnosis.findings, reasons, strict=True) if why is None)
    moved = tuple(Accepted(f, why) for f, why in zip(diagnosis.findings, reasons, strict=True) if why is not None)
    return replace(diagnosis, findings=kept, accepted=(*diagnosis.accepted, *moved))
