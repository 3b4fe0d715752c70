"""Renders a Profile as text: the chart through depth, and the values layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.records import Profile
from gainstage.report.depth import through_depth
from gainstage.report.text.depth import add_depth
from gainstage.report.text.diagnosis import add_measurement
from gainstage.report.text.page import Column, Page, Part
from gainstage.report.wording import figure

__all__ = ["add_profile"]

MOST_ROWS = 40  # rows of the table; JSON contains the middle layers of a deeper model


def add_profile(page: Page, profile: Profile) -> None:
    """Add the sparklines, the table, and the description of the measurement."""
    add_depth(page, profile)
    page.blank()
    columns = [
        Column("layer", flexible=True), Column("spread", "right"),
        Column("example share", "right"), Column("gradient norm", "right"),
    ]  # fmt: skip
    rows = _rows(profile)
    if profile.source.kind == "predicted":
        columns.insert(2, Column("nine of ten draws", "right"))
        rows = [(*row[:2], band, *row[2:]) for row, band in zip(rows, _bands(profile), strict=True)]
    if rows:
        page.table(columns, _middle_cut(rows))
        page.blank()
    add_measurement(page, profile)


def _rows(profile: Profile) -> list[tuple[Part, ...]]:
    depth = through_depth(profile)
    return [
        (label, figure(spread), figure(share), figure(gradient))
        for label, spread, share, gradient in zip(
            depth.labels, depth.spread, depth.example_share, depth.gradient, strict=True
        )
    ]


def _bands(profile: Profile) -> list[str]:
    """Return, for each layer, the interval that contains the standard deviation of nine draws in ten."""
    bands = through_depth(profile).spread_band
    return ["" if band is None else f"{figure(band[0])} … {figure(band[1])}" for band in bands]


def _middle_cut(rows: list[tuple[Part, ...]]) -> Sequence[tuple[Part, ...]]:
    if len(rows) <= MOST_ROWS:
        return rows
    half = MOST_ROWS // 2
    cut = (f"… {len(rows) - 2 * half} more layers", *("" for _ in rows[0][1:]))
    return [*rows[:half], cut, *rows[-half:]]
