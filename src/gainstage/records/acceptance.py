"""Findings that do not count: those that a project accepts for a reason, and those listed in a baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from gainstage.records.diagnosis import Accepted, Diagnosis, Finding, Severity

__all__ = ["Acceptance", "Known", "accepting", "against", "known_findings"]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A project's decision to accept certain findings.

    Args:
        rule: code of the finding's rule, or a prefix of codes: ``GS1`` covers every rule about the signal.
        reason: the reason in words, which is shown in place of the finding.
        path: the module or parameter, as a pattern in which ``*`` stands for any characters.
    """

    rule: str
    reason: str
    path: str = "*"

    def covers(self, finding: Finding) -> bool:
        """Report whether the decision applies to the finding."""
        return finding.code.startswith(self.rule) and fnmatchcase(finding.path, self.path)


@dataclass(frozen=True, slots=True)
class Known:
    """A finding as a baseline stores it.

    Args:
        code: code of the rule.
        severity: severity when the baseline was written. A finding that has become worse counts as new.
        path: the module or parameter; empty for the whole model.
    """

    code: str
    severity: Severity
    path: str

    def covers(self, finding: Finding) -> bool:
        """Report whether the finding is this one and has not become worse."""
        same = (finding.code, finding.path) == (self.code, self.path)
        return same and finding.severity.rank >= self.severity.rank


def known_findings(diagnosis: Diagnosis) -> tuple[Known, ...]:
    """List all findings of a diagnosis for a baseline, including consequences and accepted findings."""
    return tuple(sorted(set(_known((*diagnosis.findings, *(a.finding for a in diagnosis.accepted)))), key=_order))


def _known(findings: Iterable[Finding]) -> Iterable[Known]:
    for finding in findings:
        yield Known(finding.code, finding.severity, finding.path)
        yield from _known(finding.consequences)


def _order(known: Known) -> tuple[str, str, int]:
    return known.code, known.path, known.severity.rank


def accepting(diagnosis: Diagnosis, decisions: Iterable[Acceptance]) -> Diagnosis:
    """Move findings that a project accepts out of the verdict, each with its reason.

    The consequences of an accepted finding are accepted with it.

    Args:
        diagnosis: the diagnosis of a check.
        decisions: the decisions; the first that applies to a finding gives the reason.
    """
    decisions = tuple(decisions)
    return _moved(diagnosis, lambda f: next((d.reason for d in decisions if d.covers(f)), None))


def against(diagnosis: Diagnosis, baseline: Iterable[Known]) -> Diagnosis:
    """Move findings that a baseline holds out of the verdict, so that only new and worse ones remain.

    A known finding with a new consequence counts as new, together with all of its consequences.

    Args:
        diagnosis: the diagnosis of a check.
        baseline: earlier findings, as ``known_findings`` lists them.
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
    """Move the findings for which ``reason`` returns a text from the findings that count to the accepted ones."""
    reasons = [reason(finding) for finding in diagnosis.findings]
    kept = tuple(f for f, why in zip(diagnosis.findings, reasons, strict=True) if why is None)
    moved = tuple(Accepted(f, why) for f, why in zip(diagnosis.findings, reasons, strict=True) if why is not None)
    return replace(diagnosis, findings=kept, accepted=(*diagnosis.accepted, *moved))
