"""Renders what width and depth do to every module: the verdict, the slopes, and what to change."""

from __future__ import annotations

from gainstage.records import CARRIES, Scaling
from gainstage.report.scaling_rows import axes, cells, headline, verdict
from gainstage.report.text.page import Column, Page

__all__ = ["add_scaling"]

MOST_ROWS = 40


def add_scaling(page: Page, found: Scaling) -> None:
    """Add the verdict, one row for every module, and each remedy once."""
    page.line((headline(found).upper(), "bold green" if found.ok else "bold yellow"), f"  {verdict(found)}")
    page.blank()
    measured = bool(found.steps)
    for axis in axes(found):
        columns = (
            Column(f"with {axis}", flexible=True), Column("role"), Column("signal", "right"),
            Column("gradient", "right"), Column("update", "right"),
            *((Column("movement", "right"),) if measured else ()), Column("verdict", flexible=True),
        )  # fmt: skip
        modules = found.along(axis)
        rows = [cells(module, measured=measured) for module in modules]
        if len(rows) > MOST_ROWS:
            worst = sorted(range(len(rows)), key=lambda i: (not modules[i].verdict, i))[:MOST_ROWS]
            rows = [rows[i] for i in sorted(worst)]
        page.table(columns, rows)
        page.blank()
    page.line(
        (f"Slopes of log value over log size; within ±{CARRIES:.2f} a value changes by less than a factor of 2 when "
         "the size grows 8 times.", "dim"),
    )  # fmt: skip
    for remedy in dict.fromkeys(module.remedy for module in found.modules if module.remedy):
        page.field("Remedy", page.words(remedy), indent=0)
    for note in found.notes:
        page.field(note.code, page.words(note.message), style="bold cyan", indent=0)
