"""Records of a diagnosis: findings, the evidence behind them, and the proposed remedies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from gainstage.records.profile import Profile
from gainstage.records.proof import Proof
from gainstage.records.rendering import Rendered

__all__ = ["Accepted", "Change", "Diagnosis", "Finding", "Fixed", "Remedy", "Severity", "Unjudged"]


class Severity(StrEnum):
    """The severity of a finding."""

    ERROR = "error"  # will not train as it is
    WARNING = "warning"  # will train badly or slowly
    NOTE = "note"

    @property
    def rank(self) -> int:
        """Return 0 for the worst severity, and higher numbers for lesser ones."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class Remedy:
    """A remedy for a finding.

    Args:
        summary: one sentence that states what to do.
        code: the lines to write into one's own program.
        action: ``initialize`` when gainstage can apply the remedy (with ``scheme`` and ``patterns``); ``edit`` when it
            changes the user's own code.
        scheme: the scheme that draws the new weights.
        patterns: paths or patterns of the parameters to draw anew; empty for the whole model.
    """

    summary: str
    code: str
    action: Literal["initialize", "edit"] = "edit"
    scheme: str = "auto"
    patterns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, with its place, evidence, cause and remedy.

    Args:
        code: the rule's code, e.g. ``GS101``.
        title: the rule's title, in a few words.
        severity: the severity of the fault.
        path: the module or parameter where the fault originates; empty when it concerns the whole model.
        node: index of the node where the fault originates, if there is one.
        evidence: a sentence with the measured value and its unit.
        measured: the measured value.
        bound: the bound that the measured value violates.
        cause: a sentence that explains the fault.
        remedy: the proposed remedy.
        consequences: findings that follow from this one and are listed under it.
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
        """Return the path, followed by the framework's own name; empty for the whole model."""
        return f"{self.path} ({self.called})" if self.called else self.path


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A rule that could not be judged, and the information that it lacked."""

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
    """The result of a check: findings, and which rules passed or could not be judged.

    Args:
        profile: the measurement that the rules examined.
        findings: all findings; the most severe and most causal come first.
        passed: codes of the rules that were judged and reported nothing.
        unjudged: rules that lacked information.
        accepted: findings that do not count, each with the reason.
        left_out: codes of the rules that the caller did not want judged.
        trained: why the network counts as trained, so that rules about starts were not judged; empty for a start.
    """

    profile: Profile
    findings: tuple[Finding, ...]
    passed: tuple[str, ...] = ()
    unjudged: tuple[Unjudged, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    left_out: tuple[str, ...] = ()
    trained: str = ""

    @property
    def judged(self) -> bool:
        """Report whether every trainable parameter was measured, or a finding holds without that.

        A model with nothing to train is not judged, unless an error says why; nor is one that is called healthy while
        weights work where nobody could look.
        """
        found = {finding.severity for finding in (*self.findings, *(a.finding for a in self.accepted))}
        if Severity.ERROR in found:
            return True
        return self.profile.backward and not (self.profile.hidden and Severity.WARNING not in found)

    @property
    def ok(self) -> bool:
        """Report whether the model was judged, without an error and without a warning."""
        return self.judged and not any(f.severity is not Severity.NOTE for f in self.findings)

    @property
    def worst(self) -> Severity | None:
        """Return the severity of the worst finding; None without findings."""
        return min((f.severity for f in self.findings), key=lambda s: s.rank, default=None)


@dataclass(frozen=True, slots=True)
class Change:
    """One finding before a fix: what was done about it, and whether it is gone."""

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
        """Report whether the second check found no error and no warning."""
        return self.after.ok
