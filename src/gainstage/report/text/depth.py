"""Draws sparklines of signal and gradient through depth, with the values at both ends."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.records import Profile
from gainstage.report.depth import Depth, through_depth
from gainstage.report.text.page import Page, Part
from gainstage.report.text.sparkline import log_limits, sparkline
from gainstage.report.wording import count, figure

__all__ = ["add_depth", "add_depth_before_and_after"]

FIGURE = 8  # cells for a value


def add_depth(page: Page, profile: Profile) -> None:
    """Add one line for the signal's standard deviation and one for the norm of the gradient."""
    depth = through_depth(profile)
    _heading(page, depth)
    if not len(depth):
        return
    _row(page, "forward spread", "", depth.spread, log_limits(depth.spread))
    if any(g is not None for g in depth.gradient):
        _row(page, "gradient norm", "", depth.gradient, log_limits(depth.gradient))


def add_depth_before_and_after(page: Page, before: Profile, after: Profile) -> None:
    """Add both lines before and after a fix, on one scale."""
    old, new = through_depth(before), through_depth(after)
    _heading(page, new)
    rows: tuple[tuple[str, Sequence[float | None], Sequence[float | None]], ...] = (
        ("forward spread", old.spread, new.spread),
        ("gradient norm", old.gradient, new.gradient),
    )
    for title, was, now in rows:
        if any(v is not None for v in (*was, *now)):
            limits = log_limits(was, now)
            _row(page, title, "before", was, limits)
            _row(page, "", "after", now, limits)


def _heading(page: Page, depth: Depth) -> None:
    if len(depth):
        page.line(("Through depth", "bold"), f"  {count(len(depth), 'layer')}, input to output, log scale")
    else:
        page.line(("Through depth", "bold"), "  no layer with a weight was measured")


def _row(page: Page, title: str, when: str, values: Sequence[float | None], limits: tuple[float, float]) -> None:
    known = [v for v in values if v is not None]
    if not known:
        return
    label = f"  {title:<16}{when:<7}" if when else f"  {title:<16}"
    columns = page.width - len(label) - 2 * (FIGURE + 1)
    bars = sparkline(values, columns, limits=limits, unicode=page.unicode)
    parts: tuple[Part, ...] = (
        (label, "dim"),
        f"{figure(known[0]):>{FIGURE}} ",
        (bars, "red" if when == "before" else "cyan"),
        f" {figure(known[-1])}",
    )
    page.line(*parts)
