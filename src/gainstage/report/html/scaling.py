"""Writes the pages about width and depth, and about a model before it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from gainstage.records import CARRIES, Axis, Preflight, Scaling
from gainstage.report.charts.curves import curves
from gainstage.report.charts.svg import escaped
from gainstage.report.html.formats import formats_body
from gainstage.report.html.parts import Column, card, definitions, drawn, heading, paragraph, table
from gainstage.report.preflight_rows import cost_rows, subject
from gainstage.report.scaling_rows import axes, cells, lines, shown_quantity, verdict

__all__ = ["preflight_body", "scaling_body", "scaling_picture"]

_ABOUT = {
    "update": "change of each output by its weight's first update, relative to the smallest size",
    "movement": "change of each output by some steps of training, relative to the smallest size",
}


def scaling_body(found: Scaling) -> Iterator[str]:
    """Yield the verdict, a picture and a table for every axis, and each remedy once."""
    yield paragraph(verdict(found), "soft")
    for axis in axes(found):
        if lines(found, axis):
            yield heading(2, f"What changes with {axis}")
            yield drawn(partial(scaling_picture, found, axis))
        columns = (
            Column(f"with {axis}"), Column("role"), Column("signal", "number"), Column("gradient", "number"),
            Column("update", "number"), *((Column("movement", "number"),) if found.steps else ()),
            Column("verdict", "prose"),
        )  # fmt: skip
        yield table(columns, [cells(module, measured=bool(found.steps)) for module in found.along(axis)], sortable=True)
    yield paragraph(
        f"Slopes of log value over log size. Within ±{CARRIES:.2f} a value changes by less than a factor of 2 when the "
        "size grows 8 times."
    )
    for remedy in dict.fromkeys(module.remedy for module in found.modules if module.remedy):
        yield card("warning", "remedy", remedy)
    yield from (paragraph(f"{note.code} {note.message}") for note in found.notes)


def scaling_picture(found: Scaling, axis: Axis, width: float = 720) -> str:
    """Draw the modules that change most along one axis."""
    return curves(
        lines(found, axis), title="", x_label=axis, y_label=_ABOUT[shown_quantity(found)], log_x=True, log_y=True,
        width=width,
    )  # fmt: skip


_KINDS = {"good": "good", "warning": "warning", "error": "error", "open": "note"}


def preflight_body(found: Preflight) -> Iterator[str]:
    """Yield the decisions, costs, findings, formats and scaling."""
    yield paragraph(subject(found), "soft")
    for decision in found.decisions:
        yield card(_KINDS[decision.state], decision.state, decision.question, paragraph(decision.answer))
    yield heading(2, "What it takes")
    yield table((Column("cost"), Column("amount", "number"), Column("how it is known", "prose")), cost_rows(found))
    if found.findings:
        yield heading(2, "The predicted signal")
    for finding in found.findings:
        fields = [("where", escaped(finding.place or "the whole model")), ("evidence", escaped(finding.evidence)),
                  ("remedy", escaped(finding.remedy.summary))]  # fmt: skip
        yield card(
            finding.severity.value, f"{finding.severity.value} {finding.code}", finding.title, definitions(fields)
        )
    yield heading(2, "Number formats")
    yield from formats_body(found.formats)
    if found.scaling is not None:
        yield heading(2, "Width and depth")
        yield from scaling_body(found.scaling)
