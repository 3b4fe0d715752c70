"""Raise a finding once when enough of the last judgements agree, and again only after it has been absent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from gainstage.records import Alert, Finding, Unjudged
from gainstage.rules.remedies import Words
from gainstage.rules.table import Lacking
from gainstage.rules.training.table import TrainingRule, training_rules
from gainstage.rules.training.window import Window

__all__ = ["Alarms", "RuleState"]

_TOO_LARGE = ("GT101", "GT102", "GT201", "GT202", "GT203", "GT204", "GT402", "GT403")
EXPLAINS = {
    "GT501": ("GT101", "GT301", "GT302", "GT303", "GT304", "GT401", "GT402"),
    "GT502": ("GT101", "GT103", "GT304", "GT401", "GT402"),
    "GT503": ("GT102", "GT302", "GT303", "GT403"),
    "GT504": ("GT102", "GT103", "GT302", "GT403"),
    "GT505": ("GT302", "GT403"),
    "GT401": ("GT101", "GT301", "GT304", "GT402", "GT201"),
    "GT402": ("GT101", "GT301", "GT304", "GT201"),
    "GT303": ("GT102", "GT203", "GT403"),
    "GT301": (*_TOO_LARGE, "GT304"),
    "GT101": ("GT301", "GT304", "GT401", "GT402", "GT201", "GT202"),
    "GT304": (*_TOO_LARGE, "GT301"),
    "GT103": (*_TOO_LARGE, "GT304", "GT301", "GT302", "GT303", "GT401", "GT505"),
    "GT201": ("GT102", "GT203", "GT403", "GT505"),
    "GT202": ("GT102", "GT403"),
    "GT203": ("GT102", "GT403"),
    "GT204": ("GT403",),
    "GT302": ("GT403",),
}
"""While a finding stands, and for a while behind its end, what follows from it is not raised beside it.

Of findings of one judgement the one that comes first here is raised first.
"""

_ORDER = {code: place for place, code in enumerate(EXPLAINS)}

SHORT = 40
"""Steps for which a finding explains what follows, behind the last step at which it held."""


@dataclass(frozen=True, slots=True)
class RuleState:
    """The memory of one rule.

    Args:
        code: of the rule.
        found: whether the last judgements found something, the oldest first.
        last: the last step at which it did.
        standing: place of its alert among all, while the alert stands.
    """

    code: str
    found: tuple[bool, ...] = ()
    last: int | None = None
    standing: int | None = None


class Alarms:
    """The state of all rules of one training.

    Args:
        words: what the users of the framework write, for causes and remedies.
        ignore: beginnings of the codes of rules that are left out.
    """

    def __init__(self, words: Words = MappingProxyType({}), ignore: Sequence[str] = ()) -> None:
        self._words = words
        self._rules = [rule for rule in training_rules() if not rule.code.startswith(tuple(ignore) or ("-",))]
        self._found: dict[str, deque[bool]] = {rule.code: deque(maxlen=rule.patience.of) for rule in self._rules}
        self._standing: dict[str, int] = {}  # code -> place in alerts
        self._lacked: dict[str, str] = {}
        self._last: dict[str, int] = {}  # code -> last step at which it held
        self.alerts: list[Alert] = []

    @property
    def unjudged(self) -> tuple[Unjudged, ...]:
        """Return the rules that never had what they need, with what they lacked."""
        return tuple(Unjudged(code, why) for code, why in sorted(self._lacked.items()))

    def state(self) -> tuple[RuleState, ...]:
        """Return what every rule has found so far, beside alerts and what was lacking, for a checkpoint."""
        return tuple(
            RuleState(code, tuple(found), self._last.get(code), self._standing.get(code))
            for code, found in self._found.items()
            if found
        )

    def restore(self, states: Sequence[RuleState], alerts: Sequence[Alert], unjudged: Sequence[Unjudged]) -> None:
        """Go on where the state was taken; rules that are left out now, or are gone, are passed over."""
        known = [state for state in states if state.code in self._found]
        for state in known:
            self._found[state.code].extend(state.found)
        self._last = {state.code: state.last for state in known if state.last is not None}
        self._standing = {state.code: state.standing for state in known if state.standing is not None}
        self._lacked = {lack.code: lack.reason for lack in unjudged}
        self.alerts = list(alerts)

    def judge(self, window: Window, *, looked: bool) -> tuple[Alert, ...]:
        """Judge the last step; return the findings that are raised now.

        Args:
            window: the training up to now.
            looked: whether a look was made since the last judgement; rules about layers are judged behind looks only.
        """
        return tuple(self._judged(window, looked))

    def _judged(self, window: Window, looked: bool) -> Iterator[Alert]:
        step = window.now.step
        raised: list[tuple[TrainingRule, Finding]] = []
        for rule in self._rules:
            if rule.looks and not looked:
                continue
            try:
                findings = rule.judge(window, self._words)
            except Lacking as lack:
                if not self._found[rule.code]:
                    self._lacked[rule.code] = str(lack)
                continue
            self._lacked.pop(rule.code, None)
            counted = self._found[rule.code]
            counted.append(bool(findings))
            if findings:
                self._last[rule.code] = step
            if rule.code in self._standing:
                if not any(counted) and len(counted) == rule.patience.of:
                    self._clear(rule.code, step)
            elif findings and sum(counted) >= rule.patience.times:
                raised.append((rule, findings[0]))
        for rule, finding in sorted(raised, key=lambda pair: _ORDER.get(pair[0].code, len(_ORDER))):
            if self._is_explained(rule.code, step):
                continue
            self._standing[rule.code] = len(self.alerts)
            self.alerts.append(Alert(finding, step))
            yield self.alerts[-1]

    def _is_explained(self, code: str, step: int) -> bool:
        """Report whether a finding that was raised, and that held until lately, brings this one about."""
        causes = [cause for cause, effects in EXPLAINS.items() if code in effects]
        return any(cause in self._known and step - self._last[cause] <= SHORT for cause in causes)

    @property
    def _known(self) -> set[str]:
        return {alert.finding.code for alert in self.alerts}

    def _clear(self, code: str, step: int) -> None:
        place = self._standing.pop(code)
        alert = self.alerts[place]
        self.alerts[place] = Alert(alert.finding, alert.step, step)
