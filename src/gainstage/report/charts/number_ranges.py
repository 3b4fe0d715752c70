"""Draws where the absolute values of tensors lie, against the limits of number formats."""

from __future__ import annotations

from gainstage.records import Formats
from gainstage.report.charts.intervals import Estimate, intervals
from gainstage.report.formats_rows import KINDS
from gainstage.report.placement import evenly
from gainstage.report.wording import elide
from gainstage.statistics import number_format

__all__ = ["number_ranges"]

ROWS = 40
_COLOURS = {"output": 0, "gradient": 1, "weight": 2, "weight_gradient": 1, "step": 3}


def number_ranges(found: Formats, *, width: float = 720) -> str:
    """Draw one row for every tensor: from the hundredth part to the largest |x|, with a dot at the median.

    Dashed lines are the number that float16 rounds to zero, its smallest normal number, and its largest one. Of more
    than forty tensors, forty are chosen evenly.

    Args:
        found: what number formats do to a model.
        width: width in pixels, at least 240.

    Returns:
        One self-contained SVG element, for light and dark pages, without script.

    Raises:
        InputError: there are no tensors, or the chart is too small.
    """
    live = [t for t in found.tensors if t.largest > 0]
    chosen = [live[i] for i in evenly(len(live), min(len(live), ROWS))]
    estimates = [
        Estimate(f"{elide(t.path or 'the model itself', 36)}, {KINDS[t.kind]}", t.median, t.low, t.largest,
                 _COLOURS[t.kind])
        for t in chosen
    ]  # fmt: skip
    half = number_format("float16")
    guides = [("to zero", half.to_zero), ("normal", half.normal), ("largest", half.largest)]
    return intervals(
        estimates, title="Where |x| lies, and the limits of float16",
        x_label="|x|: 1 % of the elements, median, largest",
        log=True, guides=guides if "float16" in found.formats else (), width=width,
    )  # fmt: skip
