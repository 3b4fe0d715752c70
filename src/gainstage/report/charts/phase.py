"""Draws the phase diagram of mean-field theory, and marks where networks lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gainstage.errors import InputError
from gainstage.report.charts.frame import framed
from gainstage.report.charts.labels import LINE_HEIGHT, Name, cut, width_of
from gainstage.report.charts.panel import Panel
from gainstage.report.charts.png import data_uri, shaded
from gainstage.report.charts.svg import document, element, escaped, path, text
from gainstage.report.placement import spread_apart
from gainstage.report.scale import Scale
from gainstage.report.wording import clean, figure

__all__ = ["Place", "phase_diagram"]

LONGEST = 200.0
NAMES = (
    Name("ordered: gradients vanish", 0),
    Name("chaotic: gradients explode", 1),
    Name("critical: they keep their size", 5),
)
ORDERED, CHAOTIC = (0, 114, 178), (213, 94, 0)  # blue and vermilion of Okabe and Ito (2008)
FULL = 4.0  # growth of a gradient's second moment per layer, or its inverse, at which the colour is full
STRONGEST = 0.45  # opacity there, at which labels and lines stay readable


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a network, or of a layer, in the diagram.

    Args:
        label: name of the network or layer.
        sigma_w: standard deviation of the weights, times √fan_in.
        sigma_b: standard deviation of the biases.
    """

    label: str
    sigma_w: float
    sigma_b: float


def phase_diagram(
    sigma_w: ArrayLike,
    sigma_b: ArrayLike,
    chi: ArrayLike,
    here: Sequence[Place] = (),
    *,
    title: str = "Order and chaos",
    subtitle: str = "",
    width: float = 560,
    height: float = 420,
) -> str:
    """Draw where gradients vanish and where they explode, the critical line, and the positions of networks.

    The colour is the stronger, the faster a gradient changes; it is full where one layer halves or doubles a gradient.

    Args:
        sigma_w: standard deviations of the weights times √fan_in, in equal steps, shape (weights,), at least two.
        sigma_b: standard deviations of the biases, in equal steps, shape (biases,), at least two.
        chi: growth of the gradient's second moment per layer, shape (biases, weights); NaN where the signal diverges.
        here: positions to mark; a position beyond the axes is marked at their edge.
        title: title above the chart.
        subtitle: line under the title.
        width: width in pixels, at least 240.
        height: height in pixels, at least 240, to which a legend adds.

    Returns:
        One self-contained SVG element, for light and dark pages, without script.

    Raises:
        InputError: the shapes of the arrays do not match, or the chart is too small.

    >>> phase_diagram([0.5, 1.5], [0.0, 0.3], [[0.3, 1.4], [0.3, 1.4]], [Place("you are here", 0.6, 0.1)])[:4]
    '<svg'
    """
    weights, biases, growth = (np.asarray(values, dtype=np.float64) for values in (sigma_w, sigma_b, chi))
    if min(weights.shape + biases.shape, default=0) < 2 or growth.shape != (biases.size, weights.size):
        raise InputError(
            f"A phase diagram needs chi of shape (biases, weights), two of each at least; received sigma_w "
            f"{weights.shape}, sigma_b {biases.shape}, chi {growth.shape}."
        )
    x, y = (Scale(float(axis[0]), float(axis[-1])) for axis in (weights, biases))
    panel, body, height = framed(
        title, x, y, width=width, height=height, x_label="σ_w: spread of the weights times √fan_in", names=NAMES,
        subtitle=subtitle or "up: σ_b, the spread of the biases", beside=False,
    )  # fmt: skip
    body.append(_ground(panel, growth))
    line = _critical(weights, biases, growth)
    for stretch in line:
        pixels = [at for w, b in stretch if (at := panel.pixel(w, b))]
        body.append(path(pixels, "line s5", title="critical: gradients keep their size"))
    body.extend(_places(panel, here))
    told = "; ".join(f"{p.label} at σ_w {figure(p.sigma_w)}, σ_b {figure(p.sigma_b)}" for p in here)
    critical = f"critical from σ_w {figure(line[0][0][0])}" if line else "no critical line in this picture"
    return document(width, height, f"{title}: {critical}{'. ' + told if told else ''}.", body)


def _ground(panel: Panel, growth: NDArray[np.float64]) -> str:
    """Draw the whole plane as one image, whose cells surround the points of the grid."""
    with np.errstate(divide="ignore", invalid="ignore"):
        strength = np.log(growth) / math.log(FULL)
    strength = STRONGEST * np.clip(np.where(np.isnan(growth), 1.0, strength), -1.0, 1.0)
    across, up = panel.width / (growth.shape[1] - 1), panel.height / (growth.shape[0] - 1)
    # The outer cells extend half their size beyond the axes, so the image is cut to the panel by its own view box.
    view = element(
        "image",
        {
            "class": "heat", "x": -across / 2, "y": -up / 2, "width": panel.width + across,
            "height": panel.height + up, "preserveAspectRatio": "none",
            "href": data_uri(shaded(strength[::-1], CHAOTIC, ORDERED)),
        },
        element("title", {}, "blue: gradients vanish; orange: they explode"),
    )  # fmt: skip
    attributes: dict[str, str | float] = {
        "x": panel.left, "y": panel.top, "width": panel.width, "height": panel.height,
    }  # fmt: skip
    return element("svg", attributes, view)


def _critical(
    weights: NDArray[np.float64], biases: NDArray[np.float64], growth: NDArray[np.float64]
) -> list[list[tuple[float, float]]]:
    """Yield the segments of the critical line: for every bias, the first weight at which a gradient keeps its size."""
    stretches: list[list[tuple[float, float]]] = [[]]
    for bias, row in zip(biases, growth, strict=True):
        crossing = _crossing(weights, row)
        if crossing is not None:
            stretches[-1].append((crossing, float(bias)))
        elif stretches[-1]:
            stretches.append([])
    return [stretch for stretch in stretches if len(stretch) > 1]


def _crossing(weights: NDArray[np.float64], row: NDArray[np.float64]) -> float | None:
    """Return where the growth first crosses 1, by linear interpolation of its logarithm."""
    for i in range(len(row) - 1):
        low, high = row[i], row[i + 1]
        if 0 < low <= 1 <= high:
            share = -math.log(low) / (math.log(high) - math.log(low)) if high > low else 0.0
            return float(weights[i] + share * (weights[i + 1] - weights[i]))
        if 0 < low <= 1 and math.isnan(high):
            return float(weights[i + 1])
    return None


def _places(panel: Panel, here: Sequence[Place]) -> Iterator[str]:
    placed = [(place, at) for place in here if (at := panel.pixel(place.sigma_w, place.sigma_b))]
    heights = spread_apart([at[1] for _, at in placed], LINE_HEIGHT, panel.top + 8, panel.bottom - 8)
    for (place, (x, y)), beside in zip(placed, heights, strict=True):
        told = f"{place.label}: σ_w {figure(place.sigma_w)}, σ_b {figure(place.sigma_b)}"
        right, left = panel.right - x - 14, x - panel.left - 14
        label = cut(clean(place.label), min(LONGEST, max(left, right)))
        onward = width_of(label) <= right
        if abs(beside - y) > 2:
            yield path([(x, y), (x + (9 if onward else -9), beside)], "axis")
        yield element("circle", {"class": "dot f3", "cx": x, "cy": y, "r": 6.0}, element("title", {}, escaped(told)))
        yield text(x + (11 if onward else -11), beside + 4, label, "name ink", "start" if onward else "end", full=told)
