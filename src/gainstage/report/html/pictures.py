"""Writes the charts of a page, each with a table of the same data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gainstage.records import Finding, Picture, Profile, Slider, TrainingCurve
from gainstage.report.charts import (
    Pair,
    Place,
    agreement,
    curves,
    curves_by_place,
    depth_profile,
    histogram_strip,
    phase_diagram,
    training_curves,
    update_ratio,
    value_map,
)
from gainstage.report.charts.scatter import pairs_of
from gainstage.report.charts.trainings import measured_by, training_lines
from gainstage.report.depth import Distribution, distributions
from gainstage.report.html.parts import WIDE, Column, drawn, heading, paragraph, same_in_figures, slide
from gainstage.report.placement import evenly
from gainstage.report.series import Series
from gainstage.report.standing import standing
from gainstage.report.wording import figure
from gainstage.theory import phase_diagram as phase_of

__all__ = [
    "against_theory",
    "line_chart",
    "order_and_chaos",
    "series_table",
    "slider_chart",
    "through_depth",
    "trainings",
    "updates",
    "values",
]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_PAIRS = 2000
GRID = (24, 13)  # points of a phase diagram, across and up
WITHIN, SQUARE = 0.1, 620.0
MOST_ROWS = 60  # rows of a table beside a chart; of longer ones, evenly chosen points are listed


def through_depth(
    before: Profile,
    after: Profile | None = None,
    *,
    predicted: Profile | None = None,
    findings: Sequence[Finding] = (),
) -> str:
    """Yield standard deviation and gradient at every layer; the table of every layer holds the same data."""

    def draw(width: float) -> str:
        height = 480 if width == WIDE else 440
        return depth_profile(
            before, after, predicted=predicted, findings=findings, title="", width=width, height=height
        )

    return drawn(draw)


def against_theory(measured: Profile, predicted: Profile | None) -> Iterator[str]:
    """Yield a scatter plot of every predicted value against its measurement."""
    pairs = pairs_of(measured, predicted)[:MOST_PAIRS] if predicted is not None else []
    if not pairs:
        return
    yield heading(2, "Measured against theory")

    def draw(width: float) -> str:
        return agreement(pairs, within=WITHIN, width=min(width, SQUARE), height=520 if width == WIDE else 400)

    yield drawn(draw, square=True)
    columns = [Column("layer"), Column("figure"), *(Column(c, "number") for c in ("predicted", "measured", "ratio"))]
    rows = (pairs[i] for i in evenly(len(pairs), MOST_ROWS))
    yield same_in_figures(
        columns, ((p.label, p.group, figure(p.predicted), figure(p.measured), _ratio(p)) for p in rows)
    )


def _ratio(pair: Pair) -> str:
    return figure(pair.measured / pair.predicted) if pair.predicted > 0 else ""


def values(profile: Profile, when: str = "") -> Iterator[str]:
    """Yield the distribution of each layer's values, where it was recorded."""
    layers = distributions(profile)
    if not layers:
        return
    yield heading(2, f"Distribution of the values{when}")
    yield drawn(lambda width: histogram_strip(profile, width=width))
    if len(layers) > 1:
        yield drawn(lambda width: value_map(profile, width=width))
    columns = [Column("layer"), Column("module"), *(Column(f"{q:.0%}", "number") for q in QUANTILES)]
    yield same_in_figures(columns, (_quantile_row(layers[i]) for i in evenly(len(layers), MOST_ROWS)))


def _quantile_row(layer: Distribution) -> list[str]:
    """Return the quantiles of the sample, by linear interpolation within a bin."""
    histogram = layer.histogram
    below = np.concatenate([[0.0], np.cumsum(histogram.counts)]) / histogram.sampled
    return [str(layer.layer), layer.label, *(figure(float(v)) for v in np.interp(QUANTILES, below, histogram.edges))]


def updates(before: Profile, after: Profile | None = None) -> Iterator[str]:
    """Yield the relative change of each weight by a step; the table of every weight holds the same data."""
    if not before.backward:
        return
    yield heading(2, "How fast each weight moves")
    yield drawn(lambda width: update_ratio(before, after, width=width))


def order_and_chaos(*networks: tuple[str, Profile]) -> Iterator[str]:
    """Yield the position of plain networks of one activation in its phase diagram; nothing for other networks."""
    known = [(label, at) for label, profile in networks if (at := standing(profile)) is not None]
    if not known or len({at.activation for _, at in known}) > 1:
        return
    name = known[0][1].activation
    reach_w = 1.25 * max(2.0, *(at.sigma_w for _, at in known))
    reach_b = 1.25 * max(0.4, *(at.sigma_b for _, at in known))
    diagram = phase_of(name, np.linspace(reach_w / GRID[0], reach_w, GRID[0]), np.linspace(0.0, reach_b, GRID[1]))
    here = [Place(label, at.sigma_w, at.sigma_b) for label, at in known]
    yield heading(2, "Between order and chaos")

    def draw(width: float) -> str:
        return phase_diagram(
            diagram.sigma_w, diagram.sigma_b, diagram.chi_1, here, width=min(width, SQUARE),
            subtitle=f"{name}, layer upon layer without end; up: σ_b, the spread of the biases",
        )  # fmt: skip

    yield drawn(draw, square=True)
    columns = [Column("network"), *(Column(c, "number") for c in ("hidden layers", "σ_w", "σ_b"))]
    yield same_in_figures(columns, ((n, str(a.layers), figure(a.sigma_w), figure(a.sigma_b)) for n, a in known))


def trainings(trained: Sequence[TrainingCurve]) -> Iterator[str]:
    """Yield the trainings of one model from several starts."""
    if not trained:
        return
    yield heading(2, "The same network, trained")
    yield drawn(lambda width: training_curves(trained, title="", width=width))
    yield series_table(training_lines(trained, measured_by(trained)), "step")


def line_chart(picture: Picture) -> Iterator[str]:
    """Yield the chart of an answer."""
    lines = [Series(line.label, line.x, line.y) for line in picture.lines]
    x, y = picture.x_label, picture.y_label
    yield drawn(
        lambda width: curves(lines, title=picture.title, x_label=x, y_label=y, log_y=picture.log_y, width=width)
    )
    yield series_table(lines, x)


def slider_chart(slider: Slider) -> Iterator[str]:
    """Yield the chart of an answer for every position of a slider, which the page's script operates."""
    first = slider.pictures[0]
    places = [[Series(line.label, line.x, line.y) for line in picture.lines] for picture in slider.pictures]
    yield slide(slider.setting, [f"{place:g}" for place in slider.places], slider.start)
    if slider.hint:
        yield paragraph(slider.hint)
    yield drawn(
        lambda width: curves_by_place(
            places, shown=slider.start, title=first.title, x_label=first.x_label, y_label=first.y_label,
            log_y=first.log_y, width=width,
        )
    )  # fmt: skip
    # Choose the end of the line that varies: a line may be relative to its first point or to its last one.
    end = 0 if len({line.y[-1] for lines in places for line in lines}) == 1 else -1
    where = f"{first.x_label} {places[0][0].x[end]:g}" if first.x_label else "at the end"
    columns = [
        Column(slider.setting, "number"), *(Column(f"{line.label}, {where}", "number") for line in places[0])
    ]  # fmt: skip
    yield same_in_figures(
        columns,
        (
            [f"{place:g}", *(figure(line.y[end]) for line in lines)]
            for place, lines in zip(slider.places, places, strict=True)
        ),
    )


def series_table(lines: Sequence[Series], x_label: str) -> str:
    """Return a table of the lines' data, with a row for every x of any line."""
    at = [dict(zip(line.x, line.y, strict=True)) for line in lines]
    every = sorted({x for line in lines for x in line.x})
    chosen = [every[i] for i in evenly(len(every), MOST_ROWS)]
    columns = [Column(x_label or "x", "number"), *(Column(line.label, "number") for line in lines)]
    return same_in_figures(
        columns, ([f"{x:g}", *(figure(known[x]) if x in known else "" for known in at)] for x in chosen)
    )
