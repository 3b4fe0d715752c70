"""Draws the trainings of a comparison: the median over seeds, and the quartiles as a band."""

from __future__ import annotations

from gainstage.errors import InputError
from gainstage.records import Comparison
from gainstage.report.charts.curves import MOST_LINES, curves
from gainstage.report.series import Series

__all__ = ["comparison_curves", "comparison_lines"]


def comparison_lines(comparison: Comparison, most: int) -> list[Series]:
    """Return the measure over steps, best first; of too many contenders, the best ones and the worst."""
    bands = comparison.curves
    names = [arm.name for arm in comparison.ranking if arm.name in bands]
    shown = names if len(names) <= most else [*names[: most - 1], names[-1]]
    return [
        Series(name, tuple(map(float, band.steps)), band.middle, band.low, band.high)
        for name in shown
        if (band := bands[name]).steps
    ]


def comparison_curves(comparison: Comparison) -> str:
    """Draw the curves of all contenders as one self-contained SVG element.

    Raises:
        InputError: no trial has a curve.
    """
    lines = comparison_lines(comparison, MOST_LINES)
    if not lines:
        raise InputError("No trial has a curve that could be drawn.")
    title = f"{comparison.model} from several starts ({comparison.optimizer}, {len(comparison.seeds)} seeds)"
    of = f"validation {comparison.measure}: median of the seeds, and the middle half of them"
    return curves(lines, title=title, x_label="step", y_label=of)
