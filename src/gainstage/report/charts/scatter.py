"""Draws predicted against measured values; correct predictions lie on the diagonal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gainstage.errors import InputError
from gainstage.records import Profile
from gainstage.report.charts.frame import framed
from gainstage.report.charts.labels import Name, fits_beside
from gainstage.report.charts.panel import Panel, Pixel
from gainstage.report.charts.svg import COLOURS, document, element, escaped, number, path
from gainstage.report.depth import through_depth
from gainstage.report.scale import Scale, scale_for
from gainstage.report.wording import count, elide, figure

__all__ = ["Pair", "agreement", "pairs_of"]

MOST_POINTS = 4000
SHAPES = ("M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z", "M-3.3 -3.3h6.6v6.6h-6.6z", "M0 -4.4l4.2 7.4h-8.4z",
          "M0 -4.6l4.6 4.6l-4.6 4.6l-4.6 -4.6z")  # fmt: skip
MANY = 60  # number of points from which they are drawn small


@dataclass(frozen=True, slots=True)
class Pair:
    """One value, predicted and measured.

    Args:
        label: name of the quantity.
        predicted: the value that theory predicts.
        measured: the value measured on tensors.
        group: kind of quantity; groups differ in colour and in shape.
    """

    label: str
    predicted: float
    measured: float
    group: str = ""


def pairs_of(measured: Profile, predicted: Profile) -> list[Pair]:
    """Pair standard deviation and gradient at every weighted layer that both profiles of one model contain."""
    ours, theirs = through_depth(measured), through_depth(predicted)
    at = {node: place for place, node in enumerate(theirs.nodes)}
    both = [
        (i, at[node]) for i, node in enumerate(ours.nodes) if node in at and ours.labels[i] == theirs.labels[at[node]]
    ]
    pairs = [Pair(ours.labels[i], theirs.spread[j], ours.spread[i], "forward spread") for i, j in both]
    for i, j in both:
        expected, found = theirs.gradient[j], ours.gradient[i]
        if expected is not None and found is not None:
            pairs.append(Pair(ours.labels[i], expected, found, "gradient norm"))
    return pairs


def agreement(
    pairs: Sequence[Pair],
    *,
    title: str = "Predicted against measured",
    subtitle: str = "",
    within: float = 0.0,
    width: float = 560,
    height: float = 520,
) -> str:
    """Draw a scatter plot on two equal logarithmic axes, with the diagonal.

    Where one value of a pair has no position on a logarithmic axis (zero, NaN, infinity), a cross at the edge marks the
    other value.

    Args:
        pairs: at least one pair.
        title: title above the chart.
        subtitle: line under the title; by default the number of pairs within the band.
        within: relative width of the band beside the diagonal, e.g. 0.1 for a tenth; 0 for no band.
        width: width in pixels, at least 240.
        height: height in pixels, at least 240, to which a legend adds.

    Returns:
        One self-contained SVG element, for light and dark pages, without script.

    Raises:
        InputError: there are no pairs, or too many, or the chart is too small.
    """
    if not 1 <= len(pairs) <= MOST_POINTS:
        raise InputError(f"A scatter holds 1 to {MOST_POINTS} pairs; received {len(pairs)}.")
    groups = list(dict.fromkeys(pair.group for pair in pairs))
    names = [Name(group or "all", i) for i, group in enumerate(groups)] if len(groups) > 1 else []
    axis = scale_for((v for p in pairs for v in (p.predicted, p.measured)), log=True)
    told = _told(pairs, within)
    panel, body, height = framed(
        title, axis, axis, width=width, height=height, subtitle=subtitle or told, x_label="predicted", names=names
    )
    if within:
        body.append(_band(panel, axis, within))
    body.append(path([(panel.left, panel.bottom), (panel.right, panel.top)], "guide", title="predicted = measured"))
    size = 0.6 if len(pairs) > MANY else 1.0
    for pair in pairs:
        body.extend(_point(panel, pair, groups.index(pair.group), size))
    if names and fits_beside(names, width):
        body.extend(panel.names([(name, panel.top) for name in names]))
    return document(width, height, f"{title}, up: measured. {told}.", body)


def _told(pairs: Sequence[Pair], within: float) -> str:
    if not within:
        return count(len(pairs), "pair") + "; up: measured"
    inside = sum(p.predicted > 0 and abs(p.measured / p.predicted - 1) <= within for p in pairs)
    return f"{inside} of {len(pairs)} within {within:.0%}; up: measured"


def _band(panel: Panel, axis: Scale, within: float) -> str:
    """Draw the area between measured = (1 ± within) · predicted."""
    reach = math.log10(axis.high / axis.low)
    up, down = math.log10(1 + within) / reach, -math.log10(max(1 - within, 1e-9)) / reach

    def at(across: float, over: float) -> Pixel:
        return panel.left + across * panel.width, panel.bottom - min(max(over, 0.0), 1.0) * panel.height

    corners = [at(0, -down), at(min(down, 1), 0), at(1, 1 - down), at(1, 1), at(max(1 - up, 0), 1), at(0, up)]
    return path(corners, "area f0", closed=True)


def _point(panel: Panel, pair: Pair, group: int, size: float) -> Iterator[str]:
    label = elide(pair.label, 120)
    note = f"{label}: predicted {figure(pair.predicted)}, measured {figure(pair.measured)}"
    title = element("title", {}, escaped(note))
    at = panel.pixel(pair.predicted, pair.measured)
    colour = group % COLOURS
    if at is not None:
        move = f"translate({number(at[0])} {number(at[1])})" + (f" scale({size})" if size != 1 else "")
        yield element("path", {"class": f"dot f{colour}", "transform": move, "d": SHAPES[group % len(SHAPES)]}, title)
        return
    across, up = panel.x.fraction(pair.predicted), panel.y.fraction(pair.measured)
    x = panel.left + 5 + (across or 0.0) * (panel.width - 10)
    y = panel.bottom - 5 - (up or 0.0) * (panel.height - 10)
    yield element("path", {"class": f"mark s{colour}", "d": f"M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6"}, title)
