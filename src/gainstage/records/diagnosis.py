"""Diagnosis: the verdict, with the evidence it rests on and the remedies it proposes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from gainstage.records.profile import Profile
from gainstage.records.proof import Proof
from gainstage.records.rendering import Rendered

__all__ = ["Accepted", "Change", "Diagnosis", "Finding", "Fixed", "Remedy", "Severity", "Unjudged"]


class Severity(StrEnum):
    """How bad a finding is."""

    ERROR = "error"  # will not train as it is
    WARNING = "warning"  # will train badly or slowly
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Remedy:
    """What cures a finding.

    Args:
        summary: one sentence.
        code: the lines to write into one's own program.
        action: ``initialize`` when gainstage can do it (then ``scheme`` and ``patterns`` say how); ``edit`` when it
            is a change of the user's own code.
        scheme: the scheme to draw with.
        patterns: parameter paths or patterns it is limited to; empty for the whole model.
    """

    summary: str
    code: str
    action: Literal["initialize", "edit"] = "edit"
    scheme: str = "auto"
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault.

    Args:
        code: of the rule, e.g. ``GS101``.
        title: of the rule, in a few words.
        severity: how bad.
        path: the module or parameter where it originates; empty when it is about the whole model.
        node: the node there, if one.
        evidence: the measured figure in words, with its unit.
        measured: the figure itself.
        bound: the bound it broke.
        cause: why, in words.
        remedy: what to do.
        consequences: findings that follow from this one, folded under it.
        called: what the framework itself calls that module or parameter, where that is another name.
    """

    code: str
    title: str
    severity: Severity
    path: str
    evidence: str
    measured: float
    bound: float
    cause: str
    remedy: Remedy
    node: int | None = None
    consequences: tuple[Finding, ...] = ()
    called: str = ""

    @property
    def place(self) -> str:
        """The path, with the framework's own name behind it; empty for the whole model."""
        return f"{self.path} ({self.called})" if self.called else self.path


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A rule that could not speak, and what it would have needed."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A finding that does not count.

    Args:
        finding: what was found.
        reason: why it does not count: the words of the project's decision, or ``in the baseline``.
    """

    finding: Finding
    reason: str


@dataclass(frozen=True)
class Diagnosis(Rendered):
    """The whole verdict.

    Args:
        profile: the measurement.
        findings: the worst and most causal first.
        passed: codes of the rules that were judged and found nothing.
        unjudged: rules that lacked what they need.
        accepted: findings that do not count, each with the reason.
        left_out: codes of the rules that the caller did not want judged.
    """

    profile: Profile
    findings: tuple[Finding, ...]
    passed: tuple[str, ...] = ()
    unjudged: tuple[Unjudged, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether all that trains was seen, or a finding stands without that.

        A model with nothing to train is not judged, unless an error says why; nor is one that is called healthy while
        weights work where nobody could look.
        """
        found = {finding.severity for finding in (*self.findings, *(a.finding for a in self.accepted))}
        if Severity.ERROR in found:
            return True
        return self.profile.backward and not (self.profile.hidden and Severity.WARNING not in found)

    @property
    def ok(self) -> bool:
        """Whether the model was judged, without error and without warning."""
        return self.judged and not any(f.severity is not Severity.NOTE for f in self.findings)

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding."""
        return min((f.severity for f in self.findings), key=lambda s: s.rank, default=None)


@dataclass(frozen=True, slots=True)
class Change:
    """One remedy that was applied, and whether its finding is gone."""

    finding: Finding
    applied: bool
    cured: bool
    explanation: str


@dataclass(frozen=True)
class Fixed(Rendered):
    """Before and after.

    Args:
        before, after: the first look and the second.
        changes: what became of every finding.
        proof: two short trainings, from the weights before and after, where they were asked for.
    """

    before: Diagnosis
    after: Diagnosis
    changes: tuple[Change, ...]
    proof: Proof | None = None

    @property
    def ok(self) -> bool:
        """Whether the second look finds no error and no warning."""
        return self.after.ok
