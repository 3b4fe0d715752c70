"""Draws trainings side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from gainstage.records import Evaluation, TrainingCurve
from gainstage.report.charts.curves import curves
from gainstage.report.series import Series

__all__ = ["measured_by", "training_curves", "training_lines"]

Measure = Literal["accuracy", "loss"]
BEFORE_AND_AFTER = ((1, "d2"), (0, ""))  # as in the charts through depth


def measured_by(trained: Sequence[TrainingCurve]) -> Measure:
    """Return accuracy where all trainings have one, else loss."""
    return "loss" if any(e.accuracy is None for curve in trained for e in curve.evaluations) else "accuracy"


def training_lines(trained: Sequence[TrainingCurve], measure: Measure) -> list[Series]:
    """Return one line for each training, over the steps at which it was evaluated."""
    return [
        Series(
            curve.label,
            tuple(float(look.step) for look in curve.evaluations),
            tuple(_figure(look, measure) for look in curve.evaluations),
        )
        for curve in trained
    ]


def _figure(look: Evaluation, measure: Measure) -> float:
    if measure == "loss":
        return look.loss
    return math.nan if look.accuracy is None else look.accuracy


def training_curves(
    trained: Sequence[TrainingCurve],
    *,
    title: str = "The same network, trained",
    measure: Measure | None = None,
    width: float = 720,
    height: float = 360,
) -> str:
    """Draw validation accuracy (or loss) over the steps, with the level of the best constant guess.

    Two trainings are drawn as before and after.

    Args:
        trained: one to twelve trainings.
        title: title above the chart.
        measure: the measure to show; by default accuracy where all trainings have one.
        width: width in pixels, at least 240.
        height: height in pixels, at least 240.

    Returns:
        One self-contained SVG element, for light and dark pages, without script.

    Raises:
        InputError: there are no trainings, or too many, or the chart is too small.
    """
    measure = measure or measured_by(trained)
    chances = [c.chance_loss if measure == "loss" else c.chance_accuracy for c in trained]
    guides = [("guessing", chance) for chance in chances[:1] if chance is not None and len(set(chances)) == 1]
    return curves(
        training_lines(trained, measure), title=title, x_label="step", y_label=f"validation {measure}", guides=guides,
        styles=BEFORE_AND_AFTER if len(trained) == 2 else (), width=width, height=height,
    )  # fmt: skip
