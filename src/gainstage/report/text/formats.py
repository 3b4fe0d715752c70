"""Renders what number formats would do: a sentence for every format, and the tensors that suffer most."""

from __future__ import annotations

from gainstage.records import Formats
from gainstage.report.formats_rows import rows, shown, verdict
from gainstage.report.text.page import Column, Page
from gainstage.report.wording import count, shape_text

__all__ = ["add_formats"]

MOST_ROWS = 16


def add_formats(page: Page, found: Formats) -> None:
    """Add one sentence for every format, a table of the tensors that lose most, and the origin of the numbers."""
    page.line(("NUMBER FORMATS", "bold"), f"  {count(len(found.tensors), 'tensor')}, {found.source.kind}.")
    page.blank()
    for form in found.formats:
        style = "bold yellow" if found.harmed(form) else "bold green"
        page.line((form, style), f"  {verdict(found, form)}")
    page.blank()
    chosen = shown(found, MOST_ROWS)
    columns = (
        Column("tensor", flexible=True), Column("what"), Column("computed in"), Column("median |x|", "right"),
        Column("largest", "right"), *(Column(form, "right") for form in found.formats),
    )  # fmt: skip
    if chosen:
        page.table(columns, rows(chosen))
        page.line((f"The {len(chosen)} of {len(found.tensors)} that lose most; a page (--html) lists all.", "dim"))
    else:
        page.line("No format loses anything of any tensor.")
    page.blank()
    source = found.source
    batch = shape_text(source.batch) if source.batch else "unknown"
    page.field("Measured" if source.kind == "measured" else "Predicted", page.words(
        f"{source.framework}, {source.dtype}; batch {batch}. Formats of 8 bits have a scale per tensor."), indent=0,
    )  # fmt: skip
    for note in found.notes:
        page.field(note.code, page.words(note.message), style="bold cyan", indent=0)
