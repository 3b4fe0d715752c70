"""Training curves: several lines over one axis."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.errors import InputError
from gainstage.report.charts.panel import CHARACTER, Panel, axis_width, label_width
from gainstage.report.charts.svg import document, text
from gainstage.report.scale import scale_for
from gainstage.report.series import Series
from gainstage.report.wording import clean, elide, figure

__all__ = ["check_size", "curves"]

SMALLEST = 240
MOST_LINES = 12


def check_size(width: float, height: float) -> None:
    """Refuse a picture too small to draw in."""
    if min(width, height) < SMALLEST:
        raise InputError(f"A chart needs at least {SMALLEST}×{SMALLEST} pixels; received {width:g}×{height:g}.")


def curves(
    lines: Sequence[Series],
    *,
    title: str,
    x_label: str = "",
    y_label: str = "",
    log_y: bool = False,
    width: float = 720,
    height: float = 360,
) -> str:
    """Lines with optional bands, named at their ends.

    Args:
        lines: one to twelve.
        title: above the picture.
        x_label: below the x axis.
        y_label: under the title.
        log_y: whether y is logarithmic.
        width: in pixels, at least 240.
        height: likewise.

    Returns:
        One self-contained SVG element, light and dark, without script.

    Raises:
        InputError: no lines, too many, or too small a picture.

    >>> from gainstage.report.series import series
    >>> curves([series("loss", [2.3, 1.9, 1.2])], title="Loss")[:39]
    '<svg xmlns="http://www.w3.org/2000/svg"'
    """
    check_size(width, height)
    if not 1 <= len(lines) <= MOST_LINES:
        raise InputError(f"A chart of curves holds one to {MOST_LINES} lines; received {len(lines)}.")
    xs = [v for line in lines for v in line.x]
    ys = [v for line in lines for v in (*line.y, *line.low, *line.high)]
    x, y = scale_for(xs, whole=all(v.is_integer() for v in xs)), scale_for(ys, log=log_y)
    top = 66.0 if y_label else 46.0
    inner = height - top - (44 if x_label else 30)
    left, right = axis_width(y, inner), label_width(lines, width)
    panel = Panel(left, top, width - left - right, inner, x, y)
    body = [text(16, 26, elide(clean(title), int((width - 32) / (1.4 * CHARACTER))), "title", full=clean(title))]
    if y_label:
        body.append(text(16, 46, elide(clean(y_label), int((width - 32) / CHARACTER)), full=clean(y_label)))
    body.extend(panel.axes(x_label))
    for place, line in enumerate(lines):
        body.extend(panel.line(line, place, f"d{place % 6}" if place >= 2 else ""))
    body.extend(panel.names(lines, range(len(lines)), right))
    told = "; ".join(f"{line.label} from {figure(line.y[0])} to {figure(line.y[-1])}" for line in lines)
    return document(width, height, f"{title}. {y_label or 'Curves'}: {told}.", body)
