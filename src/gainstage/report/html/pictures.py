"""The charts of a page, each with a table that says the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gainstage.records import Finding, Picture, Profile, TrainingCurve
from gainstage.report.charts import curves, depth_profile, histogram_strip, training_curves, update_ratio, value_map
from gainstage.report.charts.trainings import measured_by, training_lines
from gainstage.report.depth import Distribution, distributions
from gainstage.report.html.parts import WIDE, Column, drawn, heading, same_in_figures
from gainstage.report.placement import evenly
from gainstage.report.series import Series
from gainstage.report.wording import figure

__all__ = ["line_chart", "series_table", "through_depth", "trainings", "updates", "values"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST_ROWS = 60  # of a table beside a chart; of longer ones evenly chosen points are told


def through_depth(
    before: Profile,
    after: Profile | None = None,
    *,
    predicted: Profile | None = None,
    findings: Sequence[Finding] = (),
) -> str:
    """Spread and gradient at every layer; the table of every layer says the same."""

    def draw(width: float) -> str:
        height = 480 if width == WIDE else 440
        return depth_profile(before, after, predicted=predicted, findings=findings, width=width, height=height)

    return drawn(draw)


def values(profile: Profile, when: str = "") -> Iterator[str]:
    """How each layer's values are distributed, where that was recorded."""
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
    """Values below which these shares of the sample lie, by straight lines within a bin."""
    histogram = layer.histogram
    below = np.concatenate([[0.0], np.cumsum(histogram.counts)]) / histogram.sampled
    return [str(layer.layer), layer.label, *(figure(float(v)) for v in np.interp(QUANTILES, below, histogram.edges))]


def updates(before: Profile, after: Profile | None = None) -> Iterator[str]:
    """How far a step moves each weight; the table of every weight says the same."""
    if not before.backward:
        return
    yield heading(2, "How fast each weight moves")
    yield drawn(lambda width: update_ratio(before, after, width=width))


def trainings(trained: Sequence[TrainingCurve]) -> Iterator[str]:
    """Trainings of one model from several starts."""
    if not trained:
        return
    yield heading(2, "What came of it: the same network, trained")
    yield drawn(lambda width: training_curves(trained, width=width))
    yield series_table(training_lines(trained, measured_by(trained)), "step")


def line_chart(picture: Picture) -> Iterator[str]:
    """A picture of an answer."""
    lines = [Series(line.label, line.x, line.y) for line in picture.lines]
    x, y = picture.x_label, picture.y_label
    yield drawn(
        lambda width: curves(lines, title=picture.title, x_label=x, y_label=y, log_y=picture.log_y, width=width)
    )
    yield series_table(lines, x)


def series_table(lines: Sequence[Series], x_label: str) -> str:
    """The figures behind lines: a row for every x that any of them has."""
    at = [dict(zip(line.x, line.y, strict=True)) for line in lines]
    every = sorted({x for line in lines for x in line.x})
    chosen = [every[i] for i in evenly(len(every), MOST_ROWS)]
    columns = [Column(x_label or "x", "number"), *(Column(line.label, "number") for line in lines)]
    return same_in_figures(
        columns, ([f"{x:g}", *(figure(known[x]) if x in known else "" for known in at)] for x in chosen)
    )
