"""Draws the frame of every chart: title, subtitle, names of lines, and the panel in the remaining area."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.errors import InputError
from gainstage.report.charts.labels import Name, cut, fits_beside, legend, width_of
from gainstage.report.charts.panel import Panel, below_axis
from gainstage.report.charts.svg import text
from gainstage.report.scale import Axis
from gainstage.report.wording import clean

__all__ = ["MARGIN", "check_size", "framed", "heading"]

MARGIN = 16.0
SMALLEST = 240
TITLE_LINE, TITLE_SIZE = 19.0, 14 / 12


def check_size(width: float, height: float) -> None:
    """Raise an error where the chart is too small."""
    if min(width, height) < SMALLEST:
        raise InputError(f"A chart needs at least {SMALLEST}×{SMALLEST} pixels; received {width:g}×{height:g}.")


def heading(title: str, subtitle: str, width: float) -> tuple[list[str], float]:
    """Draw the title and the subtitle, shortened to the width, and return their lower edge."""
    room, whole = width - 2 * MARGIN, clean(title)
    lines = _wrapped(whole, room) if whole else []
    body = [text(MARGIN, 26 + TITLE_LINE * i, line, "title", full=whole) for i, line in enumerate(lines)]
    top = 34 + TITLE_LINE * (len(lines) - 1) if lines else 8.0
    if not subtitle:
        return body, top
    told = clean(subtitle)
    body.append(text(MARGIN, top + 12, cut(_fewer_clauses(told, room), room, bold=False), full=told))
    return body, top + 20


def _wrapped(title: str, room: float) -> list[str]:
    """Wrap a title into one or two lines of the chart's width, and cut what is longer."""
    if TITLE_SIZE * width_of(title) <= room or " " not in title:
        return [cut(title, room / TITLE_SIZE)]
    breaks = [i for i, character in enumerate(title) if character == " "]
    fitting = [i for i in breaks if TITLE_SIZE * width_of(title[:i]) <= room] or breaks[:1]
    return [cut(part, room / TITLE_SIZE) for part in (title[: fitting[-1]], title[fitting[-1] + 1 :])]


def _fewer_clauses(told: str, room: float) -> str:
    """Return the subtitle without its last clauses, where it is too long."""
    while width_of(told, bold=False) > room and (end := max(told.rfind("; "), told.rfind(", "))) > 0:
        told = told[:end]
    return told


def framed(
    title: str,
    x: Axis,
    y: Axis,
    *,
    width: float,
    height: float,
    subtitle: str = "",
    x_label: str = "",
    names: Sequence[Name] = (),
    beside: bool = True,
) -> tuple[Panel, list[str], float]:
    """Return the panel, the elements around it, and the height of the whole chart including its legend.

    Names stand beside the panel where they fit and ``beside`` allows it, else in a legend.

    Raises:
        InputError: the chart is too small.
    """
    check_size(width, height)
    body, top = heading(title, subtitle, width)
    rows = 0.0
    if names and not (beside and fits_beside(names, width)):
        entries, rows = legend(names, MARGIN, top + 4, width - 2 * MARGIN)
        body.extend(entries)
    panel = Panel.fitted(x, y, top + 12 + rows, width, height - top - 12 - below_axis(x_label), names if beside else ())
    body.extend(panel.axes(x_label))
    return panel, body, height + rows
