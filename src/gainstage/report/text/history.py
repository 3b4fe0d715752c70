"""Renders the history of a training as one screen of text."""

from __future__ import annotations

from gainstage.records import Alert, History, Severity
from gainstage.report.text.diagnosis import STYLES
from gainstage.report.text.page import Column, Page
from gainstage.report.text.sparkline import sparkline
from gainstage.report.wording import count, figure, folded

__all__ = ["add_history", "history_verdict"]

BARS = 48
ROWS = (
    ("loss", "loss"), ("gradient", "gradient norm"), ("update", "update / weight"), ("kept", "left by clipping"),
    ("scale", "loss scale"),
)  # fmt: skip


def history_verdict(history: History) -> str:
    """Return the history as one sentence: how many steps were seen, and what was found."""
    model, optimizer = history.model or "a model", history.optimizer or "an optimizer"
    seen = f"{count(len(history.steps), 'step')} of {model} under {optimizer}"
    started = 0 if history.start is None else sum(f.severity is not Severity.NOTE for f in history.start.findings)
    tally = [
        count(n, severity.value) for severity in Severity
        if (n := sum(a.finding.severity is severity for a in history.alerts))
    ]  # fmt: skip
    before = f"; {count(started, 'finding')} before the first one" if started else ""
    open_end = "" if history.finished else "; the watch was not closed"
    return f"{seen}: {', '.join(tally) if tally else 'nothing was found'}{before}{open_end}."


def add_history(page: Page, history: History) -> None:
    """Add the verdict, every finding with its steps, the course of the numbers, and what was not judged."""
    if not history.judged:
        page.line(("NOT JUDGED", "bold yellow"), "  No step was seen.")
    elif history.ok:
        page.line(("HEALTHY", "bold green"), f"  {history_verdict(history)}")
    else:
        page.line((count(len(history.alerts), "finding").upper(), "bold red"), f"  {history_verdict(history)}")
    page.blank()
    if history.start is not None:
        for finding in history.start.findings:
            if finding.severity is not Severity.NOTE:
                title = f"{finding.code} {finding.title}"
                page.line((title, STYLES[finding.severity]), "  before the first step")
                page.field("evidence", page.words(finding.evidence))
    for alert in history.alerts:
        _add_alert(page, alert)
    _add_course(page, history)
    for reason, codes in folded((u.reason, u.code) for u in history.unjudged):
        page.field("not judged", page.words(f"{', '.join(codes)}: {reason}"), indent=0)
    for note in history.notes:
        page.field("note", page.words(note), indent=0)


def _add_alert(page: Page, alert: Alert) -> None:
    finding = alert.finding
    until = f" until step {alert.cleared}" if alert.cleared is not None else ""
    page.line((f"{finding.code} {finding.title}", STYLES[finding.severity]), f"  from step {alert.step}{until}")
    if finding.place:
        page.field("where", page.name(finding.place, page.field_width))
    page.field("evidence", page.words(finding.evidence))
    page.field("cause", page.words(finding.cause))
    page.field("remedy", page.words(finding.remedy.summary))
    page.code(finding.remedy.code)
    page.blank()


def _add_course(page: Page, history: History) -> None:
    rows = []
    for name, title in ROWS:
        values = [getattr(step, name) for step in history.steps]
        known = [v for v in values if v is not None]
        if known:
            bars = sparkline(values, BARS, unicode=page.unicode)
            rows.append((title, figure(known[0]), figure(known[-1]), bars))
    if rows:
        page.table((Column("over steps"), Column("first", "right"), Column("last", "right"), Column("course")), rows)
        page.blank()
