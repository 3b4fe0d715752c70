"""A Profile as text: the picture through depth, and the figures layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.records import Profile
from gainstage.report.depth import through_depth
from gainstage.report.text.depth import add_depth
from gainstage.report.text.diagnosis import add_measurement
from gainstage.report.text.page import Column, Page, Part
from gainstage.report.wording import figure

__all__ = ["add_profile"]

MOST_ROWS = 40  # of the table; the middle of a deeper model is left to JSON


def add_profile(page: Page, profile: Profile) -> None:
    """Sparklines, table, measurement."""
    add_depth(page, profile)
    page.blank()
    columns = (
        Column("layer", flexible=True), Column("spread", "right"),
        Column("example share", "right"), Column("gradient norm", "right"),
    )  # fmt: skip
    rows = _rows(profile)
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


def _middle_cut(rows: list[tuple[Part, ...]]) -> Sequence[tuple[Part, ...]]:
    if len(rows) <= MOST_ROWS:
        return rows
    half = MOST_ROWS // 2
    return [*rows[:half], (f"… {len(rows) - 2 * half} more layers", "", "", ""), *rows[-half:]]
