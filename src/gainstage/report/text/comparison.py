"""Renders a comparison as text: contenders with intervals, pairs, learning rates, curves and notes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gainstage.records import Arm, Comparison, Contrast, Figure
from gainstage.report.charts.comparison import comparison_lines
from gainstage.report.text.page import Column, Page, Part
from gainstage.report.text.plot import line_plot
from gainstage.report.wording import count, figure

__all__ = ["add_comparison"]

MOST_PAIRS = 15
MOST_LINES = 4  # lines of a text plot
PLOT_WIDTH, PLOT_HEIGHT = 96, 10


def add_comparison(page: Page, comparison: Comparison) -> None:
    """Add the verdict, the table, the plot, the pairs, the rates and the notes."""
    word, style, rest = verdict(comparison)
    page.line((word, style), "  ", page.words(rest))
    if (fast := _fastest(comparison)) and len(comparison.contenders) > 1:
        page.line(("FASTEST", "bold green"), "  ", page.words(fast))
    page.blank()
    page.field("model", page.words(comparison.model))
    page.field("data", page.words(comparison.data))
    page.field("trainings", page.words(_trainings(comparison)))
    page.blank()
    page.table(_columns(comparison), [_cells(page, comparison, arm) for arm in comparison.ranking])
    page.line((page.words(_legend(comparison)), "dim"))
    _add_plot(page, comparison)
    _add_pairs(page, comparison)
    _add_limits(page, comparison)
    for note in comparison.notes:
        page.field("note", page.words(note), style="bold cyan", indent=0)


def verdict(comparison: Comparison) -> tuple[str, str, str]:
    """Return the verdict in one word, the word's style, and the verdict as a sentence."""
    best = comparison.best()
    if not best:
        return (
            "NOTHING",
            "bold red",
            "no trial could be run to its end." if comparison.trials else "no trial has ended.",
        )
    names = ", ".join(arm.name for arm in best[1:])
    if len(best) == 1 and len(comparison.contenders) > 1:
        return "BEST", "bold green", f"{best[0].name}: better than every other by more than chance explains."
    if len(comparison.contenders) == 1:
        return "MEASURED", "bold", f"{best[0].name}; there is nothing to compare it with."
    others = len(comparison.contenders) - len(best)
    worse = f" Worse than the first: {others} of {len(comparison.contenders)}." if others else ""
    return "NOT TOLD APART", "bold yellow", f"{best[0].name} is first, and not shown to be better than {names}.{worse}"


def _fastest(comparison: Comparison) -> str:
    """Return a sentence about the contender that reaches the target first, and those that need more steps."""
    timed = [arm for arm in comparison.contenders if arm.steps_to_target is not None]
    if not timed:
        return ""
    first = min(timed, key=lambda arm: arm.steps_to_target or math.inf)
    slower = [
        f"{other} {ratio:.2g} times as many"
        for contrast in comparison.contrasts
        if contrast.speed is not None and contrast.faster == first.name
        for other, ratio in [_other(contrast, first.name, contrast.speed.value)]
    ]
    shown = f"; {', '.join(slower)}." if slower else "; nobody was shown to be slower."
    return f"{first.name}, {first.steps_to_target:g} steps to a loss of {figure(comparison.target_loss)}{shown}"


def _other(contrast: Contrast, name: str, ratio: float) -> tuple[str, float]:
    return (contrast.second, 1 / ratio) if contrast.first == name else (contrast.first, ratio)


def _trainings(comparison: Comparison) -> str:
    rates = comparison.learning_rates
    rate = (
        f"at {rates[0]:g}" if len(rates) == 1 else f"at {len(rates)} learning rates from {rates[0]:g} to {rates[-1]:g}"
    )
    variants = f"{len(comparison.variants)} networks × " if len(comparison.variants) > 1 else ""
    return (
        f"{variants}{count(len(comparison.schemes), 'scheme')} × {count(len(comparison.seeds), 'seed')}, each "
        f"{comparison.steps} steps of {comparison.optimizer} {rate}, batches of {comparison.batch}, {comparison.loss}"
    )


def _columns(comparison: Comparison) -> tuple[Column, ...]:
    """Return the columns that fit 80 cells; the page and the JSON contain the others."""
    rate = (Column("rate", "right"),) if len(comparison.learning_rates) > 1 else ()
    diverged = (Column("diverged", "right"),) if any(_hits(arm.diverged) for arm in comparison.contenders) else ()
    return (
        Column("scheme", flexible=True), *rate, Column(comparison.measure, "right"), Column("95 %", "right"),
        Column("train loss", "right"), Column("steps", "right"), Column("gradient", "right"),
        Column("trained", "right"), *diverged,
    )  # fmt: skip


def _cells(page: Page, comparison: Comparison, arm: Arm) -> tuple[Part, ...]:
    ran = arm.trials - arm.failed
    first = arm.name == comparison.ranking[0].name and arm.score is not None
    columns = _columns(comparison)
    rate: tuple[Part, ...] = (f"{arm.learning_rate:g}",) if columns[1].title == "rate" else ()
    name = page.words(arm.name)
    if arm.score is None:
        dash: tuple[Part, ...] = ("–",) * len(rate)
        state = ("failed", "red") if arm.failed else ("not run", "dim")
        return (name, *dash, state, *[""] * (len(columns) - len(rate) - 2))
    trained, diverged = _hits(arm.trained), _hits(arm.diverged)
    last: tuple[Part, ...] = ((f"{diverged}/{ran}", "red" if diverged else ""),)
    return (
        (name, "bold" if first else ""), *rate, (_value(comparison, arm.score.value), "bold" if first else ""),
        _interval(comparison, arm.score), figure(arm.train_loss),
        "–" if arm.steps_to_target is None else f"{arm.steps_to_target:g}",
        "–" if arm.first_gradient_ratio is None else figure(arm.first_gradient_ratio),
        (f"{trained}/{ran}", "green" if trained == ran else "yellow" if trained else "red"),
        *(last if columns[-1].title == "diverged" else ()),
    )  # fmt: skip


def _hits(share: Figure | None) -> int:
    return 0 if share is None else round(share.value * share.n)


def _value(comparison: Comparison, value: float) -> str:
    return f"{value:.1%}" if comparison.measure == "accuracy" else figure(value)


def _interval(comparison: Comparison, score: Figure) -> str:
    if not (math.isfinite(score.low) and math.isfinite(score.high)):
        return "–"
    if comparison.measure == "accuracy":  # an interval of a mean may exceed the possible range
        return f"{max(100 * score.low, 0):.1f} – {min(100 * score.high, 100):.1f}"
    return f"{figure(score.low)} – {figure(score.high)}"


def _legend(comparison: Comparison) -> str:
    several = " Every seed at the rate that is best on the other seeds." if len(comparison.learning_rates) > 1 else ""
    guess = "" if comparison.chance_accuracy is None else f" Guessing is {comparison.chance_accuracy:.1%} right."
    return (
        f"{comparison.measure.capitalize()} on held-back examples at the end: interquartile mean over seeds.{several}"
        f"{guess} Medians: steps to a loss of {figure(comparison.target_loss)}; gradient at the first weight over that "
        "at the last one, in the first step."
    )


def _add_plot(page: Page, comparison: Comparison) -> None:
    lines = comparison_lines(comparison, MOST_LINES)
    if not lines or len(lines[0].x) < 2:
        return
    page.blank()
    width = min(page.width, PLOT_WIDTH)
    label = f"validation {comparison.measure}, median of seeds"
    plot = line_plot(lines, width=width, height=PLOT_HEIGHT, x_label="step", y_label=label, unicode=page.unicode)
    for row in plot.split("\n"):
        page.verbatim(row)


def _add_pairs(page: Page, comparison: Comparison) -> None:
    """Add which of each pair is better at the end, and which is faster; significant pairs come first."""
    if not comparison.contrasts:
        return
    page.blank()
    together = "the interval holds" if len(comparison.contrasts) == 1 else "all intervals hold together"
    page.line(("Better at the end", "bold"), f"  seed by seed, on the same examples; {together} with 95 %")
    pairs = sorted(comparison.contrasts, key=lambda c: (not c.better, -abs(c.difference.value)))
    unit = "points" if comparison.measure == "accuracy" else "difference"
    _add_sides(page, unit, "first wins", "better", [_pair(page, comparison, contrast) for contrast in pairs])
    timed = [(c, c.speed) for c in comparison.contrasts if c.speed is not None]
    if not timed:
        return
    page.blank()
    page.line(("Faster", "bold"), f"  steps to a loss of {figure(comparison.target_loss)}, first over second")
    timed.sort(key=lambda pair: (not pair[0].faster, -abs(math.log(pair[1].value))))
    rows = [_race(page, contrast, speed) for contrast, speed in timed]
    _add_sides(page, "times", "seeds", "faster", rows)


def _add_sides(page: Page, unit: str, share: str, winner: str, rows: Sequence[Sequence[Part]]) -> None:
    columns = (
        Column("first", flexible=True), Column("second", flexible=True), Column(unit, "right"),
        Column("interval", "right"), Column(share, "right"), Column(winner, flexible=True),
    )  # fmt: skip
    page.table(columns, rows[:MOST_PAIRS])
    if len(rows) > MOST_PAIRS:
        page.line((f"{len(rows) - MOST_PAIRS} more pairs are in the JSON and the page.", "dim"))


def _pair(page: Page, comparison: Comparison, contrast: Contrast) -> tuple[Part, ...]:
    difference = contrast.difference

    def shown(value: float) -> str:
        if comparison.measure == "accuracy":
            return f"{100 * value:+.1f}"
        return f"{'+' if value > 0 else ''}{figure(value)}"

    return (
        page.words(contrast.first), page.words(contrast.second), shown(difference.value),
        f"{shown(difference.low)} … {shown(difference.high)}" if math.isfinite(difference.low) else "–",
        f"{contrast.beats.value:.0%}", _winner(page, contrast.better),
    )  # fmt: skip


def _race(page: Page, contrast: Contrast, speed: Figure) -> tuple[Part, ...]:
    return (
        page.words(contrast.first), page.words(contrast.second), f"{speed.value:.2f}",
        f"{speed.low:.2f} … {speed.high:.2f}" if speed.n > 1 else "–", str(speed.n), _winner(page, contrast.faster),
    )  # fmt: skip


def _winner(page: Page, name: str) -> Part:
    return (page.words(name), "green") if name else ("not shown", "dim")


def _add_limits(page: Page, comparison: Comparison) -> None:
    if not comparison.limits:
        return
    page.blank()
    page.line(("Learning rates", "bold"), "  at which more than half of the seeds train")
    rows: list[Sequence[Part]] = []
    for limit in comparison.limits:
        name = f"{limit.scheme}, {limit.variant}" if limit.variant else limit.scheme
        tried = "no larger one was tried" if limit.next_tried is None else f"{limit.next_tried:g} does not"
        if limit.largest is None or limit.smallest is None:
            rows.append((page.words(name), ("none", "red"), "", ""))
        else:
            rows.append((page.words(name), f"{limit.smallest:g}", (f"{limit.largest:g}", "bold"), tried))
    columns = (
        Column("scheme", flexible=True),
        Column("smallest", "right"),
        Column("largest", "right"),
        Column("above"),
    )
    page.table(columns, rows)
