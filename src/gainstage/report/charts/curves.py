"""Draws several lines over one axis, with bands and reference levels."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.errors import InputError
from gainstage.report.charts.frame import framed
from gainstage.report.charts.labels import Name, fits_beside
from gainstage.report.charts.svg import document
from gainstage.report.scale import scale_for
from gainstage.report.series import Series
from gainstage.report.wording import figure

__all__ = ["curves"]

MOST_LINES = 12


def curves(
    lines: Sequence[Series],
    *,
    title: str,
    x_label: str = "",
    y_label: str = "",
    log_x: bool = False,
    log_y: bool = False,
    guides: Sequence[tuple[str, float]] = (),
    styles: Sequence[tuple[int, str]] = (),
    width: float = 720,
    height: float = 360,
) -> str:
    """Draw lines with optional bands, named at their ends, or above the chart where it is narrow.

    Args:
        lines: one to twelve lines.
        title: title above the chart; may be empty where a heading says the same.
        x_label: label below the x axis.
        y_label: label under the title.
        log_x: whether x is logarithmic.
        log_y: whether y is logarithmic.
        guides: names and values of y to compare the lines with, such as chance; drawn grey and dashed.
        styles: number of the colour and class of the dashes of each line; by default chosen by the line's position.
        width: width in pixels, at least 240.
        height: height in pixels, at least 240, to which a legend adds.

    Returns:
        One self-contained SVG element, for light and dark pages, without script.

    Raises:
        InputError: there are no lines, or too many, or the chart is too small.

    >>> from gainstage.report.series import series
    >>> curves([series("loss", [2.3, 1.9, 1.2])], title="Loss")[:39]
    '<svg xmlns="http://www.w3.org/2000/svg"'
    """
    if not 1 <= len(lines) <= MOST_LINES:
        raise InputError(f"A chart of curves holds one to {MOST_LINES} lines; received {len(lines)}.")
    xs = [v for line in lines for v in line.x]
    ys = [v for line in lines for v in (*line.y, *line.low, *line.high)] + [level for _, level in guides]
    x = scale_for(xs, log=log_x, whole=not log_x and all(v.is_integer() for v in xs))
    y = scale_for(ys, log=log_y)
    styles = styles or [(i, f"d{i % 6}" if i >= 2 else "") for i in range(len(lines))]
    names = [Name(line.label, *style) for line, style in zip(lines, styles, strict=True)]
    levels = [(Name(label, -1), level) for label, level in guides]
    lone = len(lines) == 1  # the title names a single line
    named = [*([] if lone else names), *(name for name, _ in levels)]
    panel, body, height = framed(
        title, x, y, width=width, height=height, subtitle=y_label, x_label=x_label, names=named
    )
    for label, level in guides:
        body.extend(panel.guide(level, f"{label}: {figure(level)}"))
    for name, line in zip(names, lines, strict=True):
        body.extend(panel.line(line, name.colour, name.dash))
    if named and fits_beside(named, width):
        ends = [(name, panel.end(line)) for name, line in zip(names, lines, strict=True) if not lone]
        body.extend(panel.names([*ends, *((name, panel.level(level)) for name, level in levels)]))
    told = "; ".join(f"{line.label} from {figure(line.y[0])} to {figure(line.y[-1])}" for line in lines)
    told += "".join(f"; {label} {figure(level)}" for label, level in guides)
    return document(width, height, f"{title}{'. ' if title else ''}{y_label or 'Curves'}: {told}.", body)
