"""Collect what a watch measures, judge it, and pass it on."""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gainstage import rules
from gainstage.errors import TrainingError
from gainstage.records import (
    Alert,
    Diagnosis,
    Finding,
    History,
    Look,
    NonFinite,
    Profile,
    Severity,
    StepReading,
    WatchedParameter,
)
from gainstage.report.text.diagnosis import headline, verdict
from gainstage.rules.training import Alarms, Window
from gainstage.rules.training.window import FIRST, SEEN
from gainstage.workflows.watching.kept import Kept
from gainstage.workflows.watching.sinks import Sink

__all__ = ["Conduct", "OnFinding", "Recorder", "to_stderr"]

OnFinding = Literal["warn", "raise", "collect"]

PACE = 5
"""Steps between judgements; in the first steps, and where a number is not finite, every step is judged."""

EARLY = frozenset({1, 2, 4, 7, 11, 16, 21, 31, 41})
"""Steps before which every layer is looked at, besides every n-th: most trainings that fail, fail early."""

ROWS = 64
"""Steps whose numbers are kept for every parameter."""


def to_stderr(line: str) -> None:
    """Print one line where results do not go."""
    print(line, file=sys.stderr)


@dataclass(frozen=True)
class Conduct:
    """The choices of a watch that have nothing to do with a framework.

    Args:
        every: steps between looks.
        on_finding: print a line, end the training, or collect only.
        refuse: whether a start with an error ends the training before its first step.
        check: whether the first batch is checked.
        ignore: beginnings of the codes of rules that are left out.
        words: what the users of the framework write.
        say: prints a line.
    """

    every: int = 50
    on_finding: OnFinding = "warn"
    refuse: bool = False
    check: bool = True
    ignore: tuple[str, ...] = ()
    words: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    say: Callable[[str], None] = to_stderr


class Recorder:
    """The framework-free half of a watch: a ``Listener``.

    Args:
        conduct: its choices.
        sinks: everything that is written goes to each of them.
    """

    def __init__(self, conduct: Conduct, sinks: Sequence[Sink] = ()) -> None:
        self.conduct, self.sinks = conduct, tuple(sinks)
        self._head = ("", "", ())  # type: tuple[str, str, tuple[WatchedParameter, ...]]
        self._alarms = Alarms(conduct.words, [code for code in conduct.ignore if code.startswith("GT")])
        self._steps: list[StepReading] = []
        self._looks: list[Look] = []
        self._notes: list[str] = []
        self._start: Diagnosis | None = None
        self._nonfinite: NonFinite | None = None
        self._rows: deque[NDArray[np.float64]] = deque(maxlen=ROWS)  # (3, parameters): gradients, weights, updates
        self._weights_at_start: NDArray[np.float64] = np.zeros(0)
        self._looked = False
        self._finished = False
        self.handle: Any = None  # the watch that was made of this recorder

    # -- a run that goes on from a checkpoint --------------------------------------------------------------------------

    def kept(self) -> Kept:
        """Everything but choices and sinks, for a checkpoint."""
        return Kept(
            self.history, self._alarms.state(), tuple(tuple(map(tuple, row.tolist())) for row in self._rows),
            tuple(self._weights_at_start.tolist()), self._looked, self._nonfinite,
        )  # fmt: skip

    @classmethod
    def restored(cls, kept: Kept, conduct: Conduct, sinks: Sequence[Sink] = ()) -> Recorder:
        """A recorder that goes on where another one was, with other choices and sinks."""
        made, history = cls(conduct, sinks), kept.history
        made._head = (history.model, history.optimizer, history.parameters)
        made._steps, made._looks, made._notes = list(history.steps), list(history.looks), list(history.notes)
        made._start, made._nonfinite, made._looked = history.start, kept.nonfinite, kept.looked
        made._alarms.restore(kept.rules, history.alerts, history.unjudged)
        made._rows.extend(np.array(row) for row in kept.rows)
        made._weights_at_start, made._finished = np.array(kept.weights_at_start), history.finished
        return made

    def resumed(self, conduct: Conduct, sinks: Sequence[Sink]) -> Recorder:
        """A recorder of the next part of the same training."""
        made = Recorder.restored(self.kept(), conduct, sinks)
        made._finished = False
        return made

    @property
    def made(self) -> int:
        """Return the number of the last step."""
        return self._steps[-1].step if self._steps else 0

    # -- what is asked -------------------------------------------------------------------------------------------------

    def wants_look(self, step: int) -> bool:
        """Report whether every layer is looked at before the step of that number."""
        return step in EARLY or step % self.conduct.every == 0

    def wants_start(self) -> bool:
        """Report whether the first batch is to be checked."""
        return self.conduct.check and self._start is None

    @property
    def history(self) -> History:
        """Return everything that was seen so far."""
        model, optimizer, parameters = self._head
        return History(
            model, optimizer, parameters, tuple(self._steps), tuple(self._looks), tuple(self._alarms.alerts),
            self._start, self._alarms.unjudged, tuple(self._notes), self.conduct.every, self._finished,
        )  # fmt: skip

    # -- what is told --------------------------------------------------------------------------------------------------

    def begin(self, model: str, optimizer: str, parameters: Sequence[WatchedParameter]) -> None:
        """Receive what is watched."""
        self._head = (model, optimizer, tuple(parameters))
        for sink in self.sinks:
            sink.begin(self.history)

    def started(self, profile: Profile) -> None:
        """Judge the first batch; refuse the training where that was asked for."""
        start = [code for code in self.conduct.ignore if code.startswith("GS")]
        self._start = rules.judge(profile, self.conduct.words, ignore=start)
        for sink in self.sinks:
            sink.start(self._start)
        if self.conduct.on_finding != "collect":
            self.conduct.say(_verdict(self._start))
        worst = [f for f in self._start.findings if f.severity is Severity.ERROR]
        if worst and self.conduct.refuse:
            raise TrainingError(
                f"The training was refused before its first step: {_line('start', worst[0])} "
                "Mend the start, or watch without refuse=True."
            )

    def stepped(
        self,
        reading: StepReading,
        gradients: NDArray[np.float64],
        weights: NDArray[np.float64],
        updates: NDArray[np.float64],
    ) -> None:
        """Receive one step and judge it where it is time."""
        if not self._steps:
            self._weights_at_start = weights.copy()
        self._steps.append(reading)
        self._rows.append(np.stack([gradients, weights, updates]))
        for sink in self.sinks:
            sink.step(reading)
        urgent = not _finite(reading) or reading.step <= FIRST
        if urgent or self._looked or reading.step % PACE == 0 or self._stands_out(reading):
            self._judge(self._window(tuple(self._steps[-SEEN:])))

    def _stands_out(self, reading: StepReading) -> bool:
        """Report whether one step may be a finding by itself: loss or gradient is three times that of the last one."""
        if len(self._steps) < 2:
            return True
        before = self._steps[-2]
        pairs = ((reading.loss, before.loss), (reading.gradient, before.gradient))
        return any(a is not None and b is not None and a > 3 * abs(b) for a, b in pairs)

    def looked(self, look: Look) -> None:
        """Receive one look; the rules that read looks are judged with the next step."""
        self._looks.append(look)
        self._looked = True
        for sink in self.sinks:
            sink.look(look)

    def broke(self, origin: NonFinite) -> None:
        """Judge at once: after the next step all weights may be NaN."""
        if self._nonfinite is not None:
            return
        self._nonfinite = origin
        broken = StepReading(origin.step, loss=math.nan, gradient=math.nan)
        self._judge(self._window((*self._steps[-SEEN:], broken)))

    def noted(self, note: str) -> None:
        """Keep a remark."""
        if note not in self._notes:
            self._notes.append(note)
            for sink in self.sinks:
                sink.note(note)

    def finish(self) -> None:
        """The training has ended."""
        if not self._finished:
            self._finished = True
            if self._steps and not self._looks:  # so that rules about layers are listed as not judged
                self._alarms.judge(self._window(tuple(self._steps[-SEEN:])), looked=True)
            for sink in self.sinks:
                sink.end(self.history)

    # -- judging -------------------------------------------------------------------------------------------------------

    def _window(self, steps: tuple[StepReading, ...]) -> Window:
        parameters = self._head[2]
        rows = np.stack(self._rows) if self._rows else np.zeros((0, 3, len(parameters)))
        return Window(
            steps, tuple(self._steps[:FIRST]), parameters, tuple(self._looks), rows[:, 0], rows[:, 1], rows[:, 2],
            self._weights_at_start, self._nonfinite, self._head[1] or "optimizer",
        )  # fmt: skip

    def _judge(self, window: Window) -> None:
        looked, self._looked = self._looked, False
        for alert in self._alarms.judge(window, looked=looked):
            for sink in self.sinks:
                sink.alert(alert)
            self._tell(alert)

    def _tell(self, alert: Alert) -> None:
        conduct, finding = self.conduct, alert.finding
        if conduct.on_finding == "collect" or finding.severity is Severity.NOTE:
            return
        line = _line(f"step {alert.step}", finding)
        if conduct.on_finding == "raise":
            raise TrainingError(f"{line} Remedy: {finding.remedy.summary}")
        conduct.say(line)


def _finite(reading: StepReading) -> bool:
    return all(v is None or math.isfinite(v) for v in (reading.loss, reading.gradient))


def _verdict(start: Diagnosis) -> str:
    """One line about the first batch: the worst finding and the codes of the others, or that there is none."""
    when, faults = "before the first step", [f for f in start.findings if f.severity is not Severity.NOTE]
    if faults:
        others = ", ".join(dict.fromkeys(f.code for f in faults[1:] if f.code != faults[0].code))
        return _line(when, faults[0]) + (f" Also {others}." if others else "")
    return f"gainstage, {when}: {headline(start).lower() if start.ok else 'not judged'}. {verdict(start)}"


def _line(when: str, finding: Finding) -> str:
    """One line: when, what, where, evidence, and what to do.

    >>> from gainstage.records import Remedy
    >>> remedy = Remedy("Lower the learning rate.", "")
    >>> error = Severity.ERROR
    >>> finding = Finding("GT301", "The steps are too large", error, "", "A step of 0.3.", 0.3, 0.1, "", remedy)
    >>> _line("step 7", finding)
    'gainstage, step 7: GT301 The steps are too large. A step of 0.3. Lower the learning rate.'
    """
    place = f" ({finding.place})" if finding.place else ""
    told = f"{finding.code} {finding.title}{place}. {finding.evidence}"
    return f"gainstage, {when}: {told} {finding.remedy.summary}"
