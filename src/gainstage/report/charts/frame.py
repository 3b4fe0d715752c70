"""What stands around every chart: its title, what it shows, the names of its lines, and a panel that fills the rest."""

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
    """Refuse a picture too small to draw in."""
    if min(width, height) < SMALLEST:
        raise InputError(f"A chart needs at least {SMALLEST}×{SMALLEST} pixels; received {width:g}×{height:g}.")


def heading(title: str, subtitle: str, width: float) -> tuple[list[str], float]:
    """Title and what the picture shows, cut to its width, and where they end."""
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
    """One line or two, as wide as the picture; what is longer is cut."""
    if TITLE_SIZE * width_of(title) <= room or " " not in title:
        return [cut(title, room / TITLE_SIZE)]
    breaks = [i for i, character in enumerate(title) if character == " "]
    fitting = [i for i in breaks if TITLE_SIZE * width_of(title[:i]) <= room] or breaks[:1]
    return [cut(part, room / TITLE_SIZE) for part in (title[: fitting[-1]], title[fitting[-1] + 1 :])]


def _fewer_clauses(told: str, room: float) -> str:
    """The subtitle without its last clauses where it is too long."""
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
    """The panel, everything around it, and the height of the whole picture, which grows with a legend.

    Names stand beside the panel where they fit and ``beside`` allows it, else in a legend.

    Raises:
        InputError: too small a picture.
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
