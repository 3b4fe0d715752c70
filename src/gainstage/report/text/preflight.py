"""Renders the page before a run: every question with its answer, then what stands behind it."""

from __future__ import annotations

from gainstage.records import Preflight
from gainstage.report.preflight_rows import cost_rows, headline, subject
from gainstage.report.text.formats import add_formats
from gainstage.report.text.page import Column, Page
from gainstage.report.text.scaling import add_scaling

__all__ = ["add_preflight"]

_STYLES = {"good": "bold green", "warning": "bold yellow", "error": "bold red", "open": "bold cyan"}


def add_preflight(page: Page, found: Preflight) -> None:
    """Add the decisions, costs, findings, formats and scaling."""
    page.line((headline(found).upper(), "bold green" if found.ok else "bold yellow"), f"  {subject(found)}")
    page.blank()
    for decision in found.decisions:
        page.field(decision.state, (decision.question, "bold"), " ", page.words(decision.answer),
                   style=_STYLES[decision.state], indent=0)  # fmt: skip
    page.blank()
    page.table((Column("cost"), Column("amount", "right"), Column("how it is known", flexible=True)), cost_rows(found))
    page.blank()
    for finding in found.findings:
        page.field(
            f"{finding.severity.value} {finding.code}", f"{finding.title}: ", page.words(finding.evidence), indent=0
        )
    add_formats(page, found.formats)
    if found.scaling is not None:
        page.blank()
        add_scaling(page, found.scaling)
