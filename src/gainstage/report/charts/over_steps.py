"""Draws the numbers of a training over its steps, and over depth at several steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gainstage.records import History, LayerReading, Look
from gainstage.report.charts.curves import curves
from gainstage.report.series import Series
from gainstage.report.wording import elide

__all__ = ["depth_over_steps", "over_steps"]

POINTS = 400
"""Points of a line: more than that cannot be told apart on a page."""

LOOKS = 5


def over_steps(
    history: History, name: str, *, title: str, meaning: str = "", log: bool = True, width: float = 720
) -> str:
    """Draw one number of every step; alerts are named in the subtitle. Return an empty text where it was not measured.

    Of long trainings a stretch of steps is drawn as its median with its smallest and largest value as a band.

    Args:
        history: of the training.
        name: a field of ``StepReading``.
        title: above the chart.
        meaning: below the title.
        log: whether the axis of the number is logarithmic; values that are not positive are gaps then.
        width: in pixels, at least 240.

    >>> from gainstage.records import StepReading
    >>> steps = tuple(StepReading(i, loss=1 / i) for i in range(1, 9))
    >>> over_steps(History(steps=steps), "loss", title="Loss")[:4]
    '<svg'
    """
    pairs = [(step.step, getattr(step, name)) for step in history.steps]
    known = [(step, float(value)) for step, value in pairs if value is not None]
    drawable = [(step, v) for step, v in known if math.isfinite(v) and (v > 0 or not log)]
    if not drawable:
        return ""
    line = _line(title, known)
    return curves([line], title=title, x_label="step", y_label=meaning, log_y=log, width=width, height=280)


def _line(label: str, known: Sequence[tuple[int, float]]) -> Series:
    stretch = max(1, -(-len(known) // POINTS))
    parts = [known[i : i + stretch] for i in range(0, len(known), stretch)]
    if stretch == 1:
        return Series(label, tuple(float(s) for s, _ in known), tuple(v for _, v in known))
    sorted_parts = [sorted(v for _, v in part) for part in parts]
    return Series(
        label, tuple(float(part[0][0]) for part in parts), tuple(values[len(values) // 2] for values in sorted_parts),
        low=tuple(values[0] for values in sorted_parts), high=tuple(values[-1] for values in sorted_parts),
    )  # fmt: skip


def depth_over_steps(
    history: History,
    read: Callable[[LayerReading], float | None],
    *,
    title: str,
    meaning: str,
    log: bool = True,
    width: float = 720,
) -> str:
    """Draw a number of every layer over depth, one line for each of up to five looks.

    Args:
        history: of the training.
        read: the number of one layer; layers without one are left out.
        title: above the chart.
        meaning: below the title.
        log: whether its axis is logarithmic.
        width: in pixels, at least 240.

    Returns:
        One SVG element; an empty text where the number was not measured at two layers.
    """
    lines = [line for look in _chosen(history.looks) if (line := _over_depth(look, read)) is not None]
    if not lines:
        return ""
    return curves(lines, title=title, x_label="layer, in order of execution", y_label=meaning, log_y=log, width=width)


def _chosen(looks: Sequence[Look]) -> list[Look]:
    """The first and the last look and some between them, evenly over the looks."""
    if len(looks) <= LOOKS:
        return list(looks)
    return [looks[round(i * (len(looks) - 1) / (LOOKS - 1))] for i in range(LOOKS)]


def _over_depth(look: Look, read: Callable[[LayerReading], float | None]) -> Series | None:
    values = [(layer.path or layer.function, value) for layer in look.layers if (value := read(layer)) is not None]
    if len(values) < 2 or not any(math.isfinite(v) and v > 0 for _, v in values):
        return None
    return Series(
        f"step {look.step}", tuple(float(i + 1) for i in range(len(values))), tuple(v for _, v in values),
        notes=tuple(f"{elide(path, 100)}, step {look.step}" for path, _ in values),
    )  # fmt: skip
