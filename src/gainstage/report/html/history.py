"""Writes the body of a history's page: findings first, then the numbers over steps and over depth."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.records import Alert, Finding, History, Severity
from gainstage.report.charts.over_steps import depth_over_steps, over_steps
from gainstage.report.charts.svg import escaped
from gainstage.report.html.parts import (
    Column,
    card,
    code,
    definitions,
    drawn,
    folded_away,
    heading,
    paragraph,
    same_in_figures,
    table,
)
from gainstage.report.text.history import history_verdict
from gainstage.report.wording import count, figure

__all__ = ["history_body", "history_title"]

STEPS = (
    ("loss", "Loss", "of the batch, before its step", True),
    ("gradient", "Gradient", "norm over all parameters, before clipping", True),
    ("update", "Update to weight", "‖update‖ / ‖weight‖ of every step", True),
    ("kept", "Left by clipping", "norm of the gradient that was used over that before clipping", False),
    ("scale", "Loss scale", "of mixed precision", True),
    ("rate", "Learning rate", "the largest one", True),
)
DEPTH = (
    ("level", "Level over depth", "root mean square of every layer's output"),
    ("spread", "Differences between examples over depth", "standard deviation across examples"),
    ("gradient", "Gradient over depth", "norm of the gradient of the loss by every layer's output"),
    ("dead", "Dead units over depth", "share of units that are zero for every example"),
    ("stuck", "Saturated units over depth", "share of units that are at a bound for every example"),
    ("sharpness", "Sharpness of attention over depth", "sum of the squared attention weights of a query"),
)
SHARES = ("dead", "stuck", "sharpness")


def history_title(history: History) -> str:
    """Return the verdict in a few words."""
    if not history.judged:
        return "No step was seen"
    return "Healthy training" if history.ok else f"{count(len(history.alerts), 'finding')} while training"


def history_body(history: History) -> Iterator[str]:
    """Yield findings, charts over steps and depth, a table of steps, and what was not judged."""
    yield paragraph(history_verdict(history), "soft")
    if history.start is not None:
        for finding in history.start.findings:
            if finding.severity is not Severity.NOTE:
                yield _card(finding, "before the first step")
    yield from map(_alert, history.alerts)
    yield heading(2, "Over the steps")
    yield from _over_steps(history)
    if history.looks:
        yield heading(2, "Over depth")
        yield from _over_depth(history)
    yield from _not_seen(history)


def _alert(alert: Alert) -> str:
    until = f" to {alert.cleared}" if alert.cleared is not None else " on"
    return _card(alert.finding, f"step {alert.step}{until}")


def _card(finding: Finding, when: str) -> str:
    fields = [
        ("when", escaped(when)),
        ("where", escaped(finding.place or "the whole model")),
        ("evidence", escaped(finding.evidence)),
        ("cause", escaped(finding.cause)),
        ("remedy", escaped(finding.remedy.summary) + code(finding.remedy.code)),
    ]
    return card(finding.severity.value, f"{finding.severity.value} {finding.code}", finding.title, definitions(fields))


def _over_steps(history: History) -> Iterator[str]:
    for name, title, meaning, log in STEPS:
        told = [getattr(step, name) for step in history.steps]
        positive = log and all(value is None or value > 0 for value in told)

        def draw(
            width: float, name: str = name, title: str = title, meaning: str = meaning, log: bool = positive
        ) -> str:
            return over_steps(history, name, title=title, meaning=meaning, log=log, width=width)

        if draw(360):
            yield drawn(draw)
    names = [name for name, *_ in STEPS]
    stride = max(1, len(history.steps) // 200)
    rows = [[str(step.step), *(figure(getattr(step, name)) for name in names)] for step in history.steps[::stride]]
    columns = (Column("step", "number"), *(Column(title, "number") for _, title, *_ in STEPS))
    yield same_in_figures(columns, rows)


def _over_depth(history: History) -> Iterator[str]:
    for name, title, meaning in DEPTH:

        def draw(width: float, name: str = name, title: str = title, meaning: str = meaning) -> str:
            return depth_over_steps(
                history, lambda layer: getattr(layer, name), title=title, meaning=meaning, log=name not in SHARES,
                width=width,
            )  # fmt: skip

        if draw(360):
            yield drawn(draw)
    last = history.looks[-1]
    columns = (Column("layer"), *(Column(name, "number") for name, *_ in DEPTH))
    rows = [
        [f"{layer.path} {layer.function}".strip(), *(figure(getattr(layer, name)) for name, *_ in DEPTH)]
        for layer in last.layers
    ]
    yield folded_away(f"Every layer before step {last.step}", table(columns, rows))


def _not_seen(history: History) -> Iterator[str]:
    if history.unjudged:
        rows = [(u.code, u.reason) for u in history.unjudged]
        told = table((Column("rule"), Column("what it lacked", "prose")), rows)
        yield folded_away(f"{count(len(rows), 'rule')} not judged", told)
    yield from (paragraph(note, "soft") for note in history.notes)
