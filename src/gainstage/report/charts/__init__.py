"""Draws charts as SVG from plain records, without a plotting library or script, for light and dark pages."""

from gainstage.report.charts.curves import curves
from gainstage.report.charts.depth_profile import depth_profile
from gainstage.report.charts.histograms import histogram_strip, value_map
from gainstage.report.charts.intervals import Estimate, intervals
from gainstage.report.charts.number_ranges import number_ranges
from gainstage.report.charts.phase import Place, phase_diagram
from gainstage.report.charts.places import curves_by_place
from gainstage.report.charts.scatter import Pair, agreement
from gainstage.report.charts.trainings import training_curves
from gainstage.report.charts.updates import update_ratio
from gainstage.report.series import Series, series

__all__ = [
    "Estimate", "Pair", "Place", "Series", "agreement", "curves", "curves_by_place", "depth_profile", "histogram_strip",
    "intervals", "number_ranges", "phase_diagram", "series", "training_curves", "update_ratio", "value_map",
]  # fmt: skip
