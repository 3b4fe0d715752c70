"""Charts as SVG made by hand: no plotting library, no script, light and dark."""

from gainstage.report.charts.curves import curves
from gainstage.report.charts.depth_profile import depth_profile
from gainstage.report.series import Series, series

__all__ = ["Series", "curves", "depth_profile", "series"]
