"""Writes the page about number formats: a sentence for each, the picture, and every tensor."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from gainstage.records import Formats
from gainstage.report.charts import number_ranges
from gainstage.report.charts.svg import escaped
from gainstage.report.formats_rows import rows, verdict
from gainstage.report.html.parts import Column, card, definitions, drawn, heading, paragraph, table
from gainstage.report.wording import figure, shape_text

__all__ = ["formats_body"]


def formats_body(found: Formats) -> Iterator[str]:
    """Yield a card for every format, the picture, loss scales, and one row for every tensor."""
    source = found.source
    yield paragraph(
        f"{source.kind.capitalize()} with {source.framework} in {source.dtype}, batch {shape_text(source.batch)}.",
        "soft",
    )
    for form in found.formats:
        kind = "warning" if found.harmed(form) else "good"
        yield card(kind, form, verdict(found, form))
    if any(t.largest > 0 for t in found.tensors):
        yield heading(2, "Where the values lie")
        yield drawn(partial(_drawn, found))
    for scale in found.loss_scales:
        yield heading(2, f"Loss scale for {scale.format}")
        yield definitions([
            ("needed", escaped(f"{figure(scale.needed)}: every gradient's root mean square is a normal number")),
            ("allowed", escaped(f"{figure(scale.allowed)}: three octaves below the end of the format")),
            ("advised", escaped(f"{figure(scale.advised)}; {scale.left} gradients are out of range then")),
        ])  # fmt: skip
    yield heading(2, "Every tensor")
    columns = (
        Column("tensor"), Column("what"), Column("computed in"), Column("median |x|", "number"),
        Column("largest", "number"), *(Column(form) for form in found.formats),
    )  # fmt: skip
    yield table(columns, rows(found.tensors), sortable=True)
    yield from (paragraph(f"{note.code} {note.message}") for note in found.notes)


def _drawn(found: Formats, width: float) -> str:
    return number_ranges(found, width=width)
