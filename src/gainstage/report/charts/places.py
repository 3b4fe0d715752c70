"""Draws curves for every position of a slider over one pair of axes; a page's script shows one at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gainstage.errors import InputError
from gainstage.report.charts.frame import framed
from gainstage.report.charts.labels import Name
from gainstage.report.charts.svg import document, element
from gainstage.report.scale import scale_for
from gainstage.report.series import Series
from gainstage.report.wording import figure

__all__ = ["curves_by_place"]


def curves_by_place(
    places: Sequence[Sequence[Series]],
    *,
    shown: int,
    title: str,
    x_label: str = "",
    y_label: str = "",
    log_y: bool = False,
    width: float = 720,
    height: float = 360,
) -> str:
    """Draw one group of lines for every position of a slider; all but one group are hidden.

    Args:
        places: the lines at every position, with the same labels in the same order.
        shown: index of the position that is visible without a script.
        title: title above the chart.
        x_label: label below the x axis.
        y_label: label under the title.
        log_y: whether y is logarithmic.
        width: width in pixels, at least 240.
        height: height in pixels, at least 240, to which the legend adds.

    Returns:
        One self-contained SVG element; the groups have the class ``place``.

    Raises:
        InputError: there is no position, the lines differ between positions, ``shown`` is out of range, or the chart is
            too small.

    >>> from gainstage.report.series import series
    >>> chart = curves_by_place([[series("loss", [2, 1])], [series("loss", [2, 3])]], shown=1, title="Loss")
    >>> chart.count('class="place"'), chart.count('display="none"')
    (2, 1)
    """
    labels = [[line.label for line in lines] for lines in places]
    if not labels or not labels[0] or any(told != labels[0] for told in labels):
        raise InputError(f"Every place needs the same lines, at least one; received {labels}.")
    if not 0 <= shown < len(places):
        raise InputError(f"The place to show is one of {len(places)}, counted from 0; received {shown}.")
    every = [line for lines in places for line in lines]
    xs = [v for line in every for v in line.x]
    x = scale_for(xs, whole=all(v.is_integer() for v in xs))
    y = scale_for([v for line in every for v in line.y if math.isfinite(v)], log=log_y)
    names = [Name(label, i, f"d{i % 6}" if i >= 2 else "") for i, label in enumerate(labels[0])]
    panel, body, height = framed(
        title, x, y, width=width, height=height, subtitle=y_label, x_label=x_label, names=names, beside=False
    )
    for place, lines in enumerate(places):
        drawn = [
            part for name, line in zip(names, lines, strict=True) for part in panel.line(line, name.colour, name.dash)
        ]
        hidden: dict[str, str | float] = {} if place == shown else {"display": "none"}
        body.append(element("g", {"class": "place", **hidden}, *drawn))
    told = "; ".join(f"{line.label} from {figure(line.y[0])} to {figure(line.y[-1])}" for line in places[shown])
    return document(width, height, f"{title}. {y_label or 'Curves'}: {told}.", body)
