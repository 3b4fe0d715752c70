"""The phase diagram of mean field theory, with "you are here"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gainstage.errors import InputError
from gainstage.report.charts.frame import framed
from gainstage.report.charts.labels import LINE_HEIGHT, cut, width_of
from gainstage.report.charts.panel import Panel, Pixel
from gainstage.report.charts.svg import document, element, escaped, path, text
from gainstage.report.placement import spread_apart
from gainstage.report.scale import Scale, scale_for
from gainstage.report.wording import clean, figure

__all__ = ["Place", "phase_diagram"]

LONGEST = 200.0
ORDERED = ("ordered: gradients vanish, examples become one", "ordered: gradients vanish", "ordered")
CHAOTIC = ("chaotic: gradients explode, examples part", "chaotic: gradients explode", "chaotic")


@dataclass(frozen=True, slots=True)
class Place:
    """A network, or a layer of one, in the diagram.

    Args:
        label: what stands there.
        sigma_w: spread of its weights times √fan_in.
        sigma_b: spread of its biases.
    """

    label: str
    sigma_w: float
    sigma_b: float


def phase_diagram(
    sigma_w: Sequence[float],
    sigma_b: Sequence[float],
    here: Sequence[Place] = (),
    *,
    title: str = "Order and chaos",
    subtitle: str = "",
    width: float = 560,
    height: float = 420,
) -> str:
    """The critical line between order and chaos, and where networks stand.

    Args:
        sigma_w: of points on the critical line.
        sigma_b: of the same points, rising.
        here: what to mark.
        title: above the picture.
        subtitle: under it.
        width: in pixels, at least 240.
        height: likewise.

    Returns:
        One self-contained SVG element, light and dark, without script.

    Raises:
        InputError: no line, or too small a picture.

    >>> phase_diagram([1.0, 1.3], [0.0, 0.3], [Place("you are here", 0.6, 0.1)])[:4]
    '<svg'
    """
    if len(sigma_w) != len(sigma_b) or not sigma_w:
        raise InputError(
            f"A critical line needs as many σ_w as σ_b, at least one; received {len(sigma_w)} and {len(sigma_b)}."
        )
    x = scale_for([0.0, 1.25 * max(sigma_w), *(1.1 * p.sigma_w for p in here)])
    y = scale_for([0.0, *sigma_b, *(1.1 * p.sigma_b for p in here), *([0.5] if max(sigma_b) <= 0 else [])])
    panel, body, height = framed(
        title, x, y, width=width, height=height, x_label="σ_w: spread of the weights times √fan_in",
        subtitle=subtitle or "up: σ_b, the spread of the biases",
    )  # fmt: skip
    line = _line(panel, x, y, sigma_w, sigma_b)
    body.append(path([(panel.left, panel.top), (panel.left, panel.bottom), *line], "area f0", closed=True))
    body.append(path([(panel.right, panel.top), (panel.right, panel.bottom), *line], "area f1", closed=True))
    body.append(path(line, "line s5", title="critical: gradients keep their size"))
    body.extend(_regions(panel, line))
    body.extend(_places(panel, here))
    told = "; ".join(f"{p.label} at σ_w {figure(p.sigma_w)}, σ_b {figure(p.sigma_b)}" for p in here)
    critical = f"critical from σ_w {figure(sigma_w[0])}, σ_b {figure(sigma_b[0])}"
    return document(width, height, f"{title}: {critical}{'. ' + told if told else ''}.", body)


def _line(panel: Panel, x: Scale, y: Scale, sigma_w: Sequence[float], sigma_b: Sequence[float]) -> list[Pixel]:
    """From the lower edge to the upper one, prolonged upright where the points end."""
    points = [
        (panel.left + (x.fraction(w) or 0.0) * panel.width, panel.bottom - (y.fraction(b) or 0.0) * panel.height)
        for w, b in zip(sigma_w, sigma_b, strict=True)
    ]
    return [(points[0][0], panel.bottom), *points, (points[-1][0], panel.top)]


def _regions(panel: Panel, line: Sequence[Pixel]) -> Iterator[str]:
    """Each region's name in its upper corner, as much of it as fits beside the line."""
    edge = min(max(line[-1][0], panel.left + 80), panel.right - 80)  # room for the shortest names in any case
    for words, room, x, anchor, css in (
        (ORDERED, edge - panel.left - 16, panel.left + 8, "start", "name f0"),
        (CHAOTIC, panel.right - edge - 16, panel.right - 8, "end", "name f1"),
    ):
        fitting = next((w for w in words if width_of(w) <= room), words[-1])
        yield text(x, panel.top + 16, fitting, css, anchor=anchor, full=words[0])


def _places(panel: Panel, here: Sequence[Place]) -> Iterator[str]:
    placed = [(place, at) for place in here if (at := panel.pixel(place.sigma_w, place.sigma_b))]
    # Kept off the rows of the regions' names.
    heights = spread_apart([at[1] for _, at in placed], LINE_HEIGHT, panel.top + 38, panel.bottom - 6)
    for (place, (x, y)), beside in zip(placed, heights, strict=True):
        told = f"{place.label}: σ_w {figure(place.sigma_w)}, σ_b {figure(place.sigma_b)}"
        right = panel.right - x - 14
        left = x - panel.left - 14
        label = cut(clean(place.label), min(LONGEST, max(left, right)))
        onward = width_of(label) <= right
        if abs(beside - y) > 2:
            yield path([(x, y), (x + (9 if onward else -9), beside)], "axis")
        yield element("circle", {"class": "dot f3", "cx": x, "cy": y, "r": 6.0}, element("title", {}, escaped(told)))
        yield text(x + (11 if onward else -11), beside + 4, label, "name f3", "start" if onward else "end", full=told)
