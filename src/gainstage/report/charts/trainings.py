"""How trainings went, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from gainstage.records import Evaluation, TrainingCurve
from gainstage.report.charts.curves import curves
from gainstage.report.series import Series

__all__ = ["measured_by", "training_curves", "training_lines"]

Measure = Literal["accuracy", "loss"]
BEFORE_AND_AFTER = ((1, "d2"), (0, ""))  # as in the pictures through depth


def measured_by(trained: Sequence[TrainingCurve]) -> Measure:
    """Accuracy where all have one, else loss."""
    return "loss" if any(e.accuracy is None for curve in trained for e in curve.evaluations) else "accuracy"


def training_lines(trained: Sequence[TrainingCurve], measure: Measure) -> list[Series]:
    """One line for each, over the steps at which it was looked at."""
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
    """Validation accuracy (or loss) over the steps, with the level that a constant guess reaches.

    Two trainings are drawn as before and after.

    Args:
        trained: one to twelve trainings.
        title: above the picture.
        measure: what to show; by default accuracy where all have one.
        width: in pixels, at least 240.
        height: likewise.

    Returns:
        One self-contained SVG element, light and dark, without script.

    Raises:
        InputError: no trainings, too many, or too small a picture.
    """
    measure = measure or measured_by(trained)
    chances = [c.chance_loss if measure == "loss" else c.chance_accuracy for c in trained]
    guides = [("guessing", chance) for chance in chances[:1] if chance is not None and len(set(chances)) == 1]
    return curves(
        training_lines(trained, measure), title=title, x_label="step", y_label=f"validation {measure}", guides=guides,
        styles=BEFORE_AND_AFTER if len(trained) == 2 else (), width=width, height=height,
    )  # fmt: skip
