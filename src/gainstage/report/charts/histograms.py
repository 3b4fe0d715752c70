"""Draws the distributions of layers' outputs: a strip of histograms, and a heat map over all layers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gainstage.records import Histogram, Profile
from gainstage.report.charts.frame import MARGIN, check_size, framed, heading
from gainstage.report.charts.png import data_uri, shaded
from gainstage.report.charts.svg import document, element, escaped, number, path, text
from gainstage.report.depth import distributions, through_depth
from gainstage.report.placement import evenly
from gainstage.report.scale import Axis, Scale, SignedScale
from gainstage.report.wording import count, elide, figure

__all__ = ["histogram_strip", "value_map"]

CELL = 78.0  # pixels across for one histogram
BARS = 64.0  # pixels for the highest bar
MOST_CELLS = 14
MAP_ROWS = 96
COLUMN = 3.0  # pixels across at which neighbouring layers can be distinguished
MOST_CROSSES = 200
COLOUR = (32, 134, 190)  # between the blues of light and dark pages: readable on both backgrounds
SIGNED_FROM = 30.0  # largest value over smallest standard deviation from which a linear axis would hide layers


def histogram_strip(profile: Profile, *, width: float = 720) -> str:
    """Draw the histograms of the first, the last, and evenly chosen layers between, each with an axis of its own.

    Below each histogram stands the layer's standard deviation, since only shapes can be compared by eye.

    Args:
        profile: a profile with recorded histograms.
        width: width in pixels, at least 240.

    Returns:
        One self-contained SVG element, for light and dark pages, without script.

    Raises:
        InputError: the chart is too small.
    """
    check_size(width, width)
    layers = distributions(profile)
    columns = max(int((width - 2 * MARGIN) // CELL), 1)
    rows = 1 if width >= 600 else 2
    chosen = evenly(len(layers), min(columns * rows, MOST_CELLS))
    body, top = heading("What the values look like", "each layer on its own axis; below it the spread", width)
    if not layers:
        body.append(text(MARGIN, top + 24, "No distributions were recorded."))
        return document(width, top + 48, "No distributions were recorded.", body)
    across = (width - 2 * MARGIN) / min(columns, len(chosen))
    for place, at in enumerate(chosen):
        layer = layers[at]
        left = MARGIN + (place % columns) * across
        lower = top + 26 + BARS + (place // columns) * (BARS + 62)
        inner = min(across - 14, 2 * CELL)
        told = f"{elide(layer.label, 120)}, layer {layer.layer}: spread {figure(layer.spread)}"
        body.append(text(left, lower - BARS - 6, f"layer {layer.layer}" if place == 0 else str(layer.layer)))
        body.append(path([(left, lower), (left + inner, lower)], "axis"))
        body.append(_bars(layer.histogram, left, lower, inner, f"{told}, {_range(layer.histogram)}"))
        body.append(text(left, lower + 16, figure(layer.spread), full=told))
    height = top + 26 + BARS + (len(chosen) - 1) // columns * (BARS + 62) + 28
    told = "; ".join(f"layer {layers[i].layer} {_range(layers[i].histogram)}" for i in chosen)
    return document(width, height, f"Distribution of values at {count(len(chosen), 'layer')}: {told}.", body)


def value_map(profile: Profile, *, width: float = 720, height: float = 320) -> str:
    """Draw the distributions of all layers as a heat map: layers across, values up, density by strength of colour.

    The axis of values is linear where all layers have similar standard deviations; elsewhere it is logarithmic in both
    directions from zero. The map is one image. Layers with values that are not finite have a cross at the upper edge.

    Args:
        profile: a profile with recorded histograms.
        width: width in pixels, at least 240.
        height: height in pixels, at least 240.

    Returns:
        One self-contained SVG element, for light and dark pages, without script.

    Raises:
        InputError: the chart is too small.
    """
    check_size(width, height)
    layers = distributions(profile)
    title = "Where the values lie"
    if not layers:
        body, top = heading(title, "", width)
        body.append(text(MARGIN, top + 24, "No distributions were recorded."))
        return document(width, top + 48, "No distributions were recorded.", body)
    known = [layer.histogram for layer in layers]
    y = _value_axis(known, [layer.spread for layer in layers])
    depth = through_depth(profile)
    last = len(depth)
    how = "logarithmic both ways from zero" if isinstance(y, SignedScale) else "linear"
    panel, body, height = framed(
        title, Scale(0.5, last + 0.5, whole=True), y, width=width, height=height,
        subtitle=f"values of each layer's output, {how}; the stronger the colour, the more values", x_label="layer",
    )  # fmt: skip
    strength = np.zeros((MAP_ROWS, last))
    edges = _row_edges(y)
    for layer in layers:
        strength[:, layer.layer - 1] = _column(layer.histogram, edges)
    attributes: dict[str, str | float] = {
        "class": "heat", "x": panel.left, "y": panel.top, "width": panel.width, "height": panel.height,
        "preserveAspectRatio": "none", "href": data_uri(shaded(_thinned(strength, panel.width), COLOUR)),
    }  # fmt: skip
    body.append(element("image", attributes, element("title", {}, escaped(title))))
    body.append(path([(panel.left, panel.bottom), (panel.right, panel.bottom)], "axis"))
    broken = [i for i, spread in enumerate(depth.spread) if not math.isfinite(spread)]
    for i in broken[:MOST_CROSSES]:
        x = panel.left + (panel.x.fraction(i + 1.0) or 0.0) * panel.width
        note = element("title", {}, escaped(f"{elide(depth.labels[i], 120)}, layer {i + 1}: values are not finite"))
        body.append(element("path", {"class": "mark s1", "d": f"M{x - 3:.1f} {panel.top + 2:.1f}l6 6m0 -6l-6 6"}, note))
    first, final = layers[0], layers[-1]
    told = f"at layer {first.layer} {_range(first.histogram)}, at layer {final.layer} {_range(final.histogram)}"
    return document(width, height, f"{title} through {count(len(layers), 'layer')}: {told}.", body)


def _range(histogram: Histogram) -> str:
    if histogram.low == histogram.high:
        return f"all values {figure(histogram.low)}"
    return f"from {figure(histogram.low)} to {figure(histogram.high)}"


def _bars(histogram: Histogram, left: float, lower: float, width: float, title: str) -> str:
    """Draw all bars as one outline."""
    each, most = width / len(histogram.counts), max(*histogram.counts, 1)
    steps = "".join(f"V{number(lower - BARS * c / most)}h{each:.2f}" for c in histogram.counts)
    outline = f"M{number(left)} {number(lower)}{steps}V{number(lower)}Z"
    return element("path", {"class": "bars f0", "d": outline}, element("title", {}, escaped(title)))


def _value_axis(histograms: Sequence[Histogram], spreads: Sequence[float]) -> Axis:
    limit = max((max(abs(h.low), abs(h.high)) for h in histograms), default=0.0) or 1.0
    smallest = min((s for s in spreads if 0 < s < math.inf), default=limit)
    if limit / smallest < SIGNED_FROM:
        return Scale(-limit, limit) if any(h.low < 0 for h in histograms) else Scale(0.0, limit)
    return SignedScale(limit, smallest)


def _row_edges(y: Axis) -> NDArray[np.float64]:
    """Return the values at the edges of the map's rows, the upper edge first."""
    up = np.linspace(1.0, 0.0, MAP_ROWS + 1)
    if isinstance(y, Scale):
        return y.low + (y.high - y.low) * up
    edges: NDArray[np.float64] = y.linear * np.sinh((2 * up - 1) * math.asinh(y.limit / y.linear))
    return edges


def _column(histogram: Histogram, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of values between neighbouring edges, over the largest such share."""
    room = (edges[0] - edges[-1]) * 1e-9
    own = np.asarray(histogram.edges) if histogram.high > histogram.low else histogram.low + np.array([-room, room])
    counts = histogram.counts if histogram.high > histogram.low else (histogram.sampled,)
    below = np.interp(edges, own, np.concatenate([[0.0], np.cumsum(counts)]))
    share = below[:-1] - below[1:]
    most = share.max()
    shown: NDArray[np.float64] = np.sqrt(share / most) if most > 0 else share
    return shown


def _thinned(strength: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Merge neighbouring layers into one column where there are more layers than distinguishable columns."""
    layers = strength.shape[1]
    together = math.ceil(layers * COLUMN / width)
    if together == 1:
        return strength
    starts = np.arange(0, layers, together)
    return np.add.reduceat(strength, starts, axis=1) / np.diff(np.append(starts, layers))
