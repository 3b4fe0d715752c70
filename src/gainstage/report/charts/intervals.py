"""Draws estimates with their intervals, one per row, with the bounds that a criterion requires."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gainstage.errors import InputError
from gainstage.report.charts.frame import MARGIN, check_size, heading
from gainstage.report.charts.labels import LINE_HEIGHT, cut, width_of
from gainstage.report.charts.panel import Panel, below_axis
from gainstage.report.charts.svg import COLOURS, document, element, escaped, path, text
from gainstage.report.scale import scale_for
from gainstage.report.wording import clean, figure

__all__ = ["Estimate", "intervals"]

ROW = 24.0
MOST_ROWS = 60
LABELS = 0.42  # largest share of the width


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate with its interval.

    Args:
        label: name of the estimated quantity.
        value: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
        colour: number of the colour.
    """

    label: str
    value: float
    low: float
    high: float
    colour: int = 0


def intervals(
    estimates: Sequence[Estimate],
    *,
    title: str,
    x_label: str = "",
    log: bool = False,
    guides: Sequence[tuple[str, float]] = (),
    width: float = 720,
) -> str:
    """Draw one row per estimate: its name, a dot at the estimate, and a line over its interval.

    Args:
        estimates: one to sixty estimates.
        title: title above the chart.
        x_label: label under the axis.
        log: whether the axis is logarithmic.
        guides: names and values to compare with, drawn as dashed vertical lines.
        width: width in pixels, at least 240.

    Returns:
        One self-contained SVG element, for light and dark pages, without script.

    Raises:
        InputError: there are no estimates, or too many, or the chart is too small.
    """
    check_size(width, width)
    if not 1 <= len(estimates) <= MOST_ROWS:
        raise InputError(f"A chart of intervals holds 1 to {MOST_ROWS} estimates; received {len(estimates)}.")
    body, top = heading(title, "", width)
    longest = max(width_of(clean(e.label), bold=False) for e in estimates)
    left = min(MARGIN + longest + 12, LABELS * width)
    values = [v for e in estimates for v in (e.value, e.low, e.high)] + [level for _, level in guides]
    x, across = scale_for(values, log=log), width - left - 24
    named = _guide_rows([(f"{label} {figure(level)}", x.fraction(level)) for label, level in guides], left, across)
    top += 6 + LINE_HEIGHT * (1 + max((row for row, _, _ in named), default=-1)) + (6 if named else 0)
    panel = Panel(left, top, across, ROW * len(estimates), x, scale_for([0.0]))
    body.extend(panel.across(x_label))
    for (row, label, middle), (_, level) in zip(named, guides, strict=True):
        body.extend(panel.upright(level, label))
        body.append(text(middle, top - 6 - LINE_HEIGHT * row, label, anchor="middle"))
    for place, estimate in enumerate(estimates):
        y = top + ROW * (place + 0.5)
        label = clean(estimate.label)
        shown = cut(label, left - MARGIN - 8, bold=False)
        body.append(text(left - 10, y + 4, shown, anchor="end", full=label))
        body.extend(_row(panel, estimate, y))
    told = "; ".join(f"{e.label} {figure(e.value)} ({figure(e.low)} to {figure(e.high)})" for e in estimates)
    told += "".join(f"; {label} {figure(level)}" for label, level in guides)
    return document(width, panel.bottom + below_axis(x_label), f"{title}: {told}.", body)


def _guide_rows(guides: Sequence[tuple[str, float | None]], left: float, across: float) -> list[tuple[int, str, float]]:
    """Return, for each guide, the row of its name counted upwards, the name, and its centre, without overlap."""
    ends: list[float] = []  # right end of each row so far
    placed: dict[int, tuple[int, str, float]] = {}
    for i in sorted(range(len(guides)), key=lambda i: guides[i][1] or 0.0):
        label, at = guides[i]
        half = width_of(label, bold=False) / 2
        middle = min(max(left + (at or 0.0) * across, half + 4), left + across + 20 - half)
        row = next((r for r, end in enumerate(ends) if end <= middle - half), len(ends))
        ends[row : row + 1] = [middle + half + 10]
        placed[i] = (row, label, middle)
    return [placed[i] for i in range(len(guides))]


def _row(panel: Panel, estimate: Estimate, y: float) -> Iterator[str]:
    told = f"{estimate.label}: {figure(estimate.value)}, from {figure(estimate.low)} to {figure(estimate.high)}"
    title = element("title", {}, escaped(told))
    colour = estimate.colour % COLOURS
    across = [panel.x.fraction(v) for v in (estimate.low, estimate.value, estimate.high)]
    low, value, high = (None if a is None else panel.left + a * panel.width for a in across)
    if value is None:
        x = panel.left if not math.isnan(estimate.value) and estimate.value <= 0 else panel.right - 6
        yield element("path", {"class": f"mark s{colour}", "d": f"M{x:.1f} {y - 3:.1f}l6 6m0 -6l-6 6"}, title)
        return
    ends = (panel.left if low is None else low, panel.right if high is None else high)
    yield path([(ends[0], y), (ends[1], y)], f"line s{colour}")
    for end, known in zip(ends, (low, high), strict=True):
        if known is not None:
            yield path([(end, y - 4), (end, y + 4)], f"line s{colour} thin")
    yield element("circle", {"class": f"dot f{colour}", "cx": value, "cy": y, "r": 4.5}, title)
