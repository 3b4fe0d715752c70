"""Draws the change of every weight by one step, relative to the weight's norm."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from gainstage.records import ParameterProfile, Profile
from gainstage.report.charts.curves import curves
from gainstage.report.charts.frame import MARGIN, check_size, heading
from gainstage.report.charts.svg import document, text
from gainstage.report.series import Series
from gainstage.report.wording import elide

__all__ = ["relative_changes", "update_ratio"]

STEP = ("Update to weight", "‖first step‖ / ‖weight‖")
GRADIENT = ("Gradient to weight", "‖gradient‖ / ‖weight‖")


def relative_changes(profile: Profile) -> tuple[bool, tuple[tuple[ParameterProfile, float], ...]]:
    """Return whether an optimizer's step was measured, and that step, else the gradient, over each weight's norm.

    Biases and scales are left out: they start at constants, so that their ratio has no meaning.
    """
    weights = [
        measured
        for measured in profile.parameters
        if profile.parameter(measured).kernel is not None and measured.weight.norm > 0
    ]
    stepped = any(measured.update is not None for measured in weights)
    ratios = ((m, m.update if stepped else m.relative_gradient) for m in weights)
    return stepped, tuple((m, ratio) for m, ratio in ratios if ratio is not None)


def update_ratio(
    before: Profile,
    after: Profile | None = None,
    *,
    width: float = 720,
    height: float = 320,
) -> str:
    """Draw, for every weight in the model's order, the first step over its norm, or the gradient without an optimizer.

    Layers that learn at one pace lie at one height. A layer far below the median hardly changes, and one far above is
    unstable.

    Args:
        before: the profile to show.
        after: a profile of the same model after a fix; ``before`` is then dashed.
        width: width in pixels, at least 240.
        height: height in pixels, at least 240.

    Returns:
        One self-contained SVG element, for light and dark pages, without script.

    Raises:
        InputError: the chart is too small.
    """
    check_size(width, height)
    stepped, first = relative_changes(before)
    title, meaning = STEP if stepped else GRADIENT
    if not first:
        body, top = heading(title, meaning, width)
        body.append(text(MARGIN, top + 24, "No gradient by a weight was measured."))
        return document(width, top + 48, f"{title}: no gradient by a weight was measured.", body)
    lines = [_line("" if after is None else "before", first)]
    second = relative_changes(after)[1] if after is not None else ()
    if second:
        lines.append(_line("after", second))
    usual = [ratio for _, ratio in (second or first) if ratio > 0]
    guides = [("median", median(usual))] if usual else []
    return curves(
        lines, title=title, x_label="weight, in the model's order", y_label=meaning, log_y=True, guides=guides,
        width=width, height=height, styles=((1, "d2"), (0, "")) if second else ((0, ""),),
    )  # fmt: skip


def _line(name: str, ratios: Sequence[tuple[ParameterProfile, float]]) -> Series:
    return Series(
        name or "each weight",
        tuple(float(i + 1) for i in range(len(ratios))),
        tuple(ratio for _, ratio in ratios),
        notes=tuple(elide(measured.path, 120) for measured, _ in ratios),
    )
