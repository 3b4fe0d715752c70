"""Writes the page of a comparison: ranking with uncertainty, curves, every pair, every trial."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from gainstage.records import Arm, Band, Comparison, Contrast, RateLimit, Trial
from gainstage.report.charts import Estimate, Series, curves, intervals
from gainstage.report.html.parts import Column, card, drawn, heading, paragraph, table
from gainstage.report.html.pictures import series_table
from gainstage.report.text.lesson import interval
from gainstage.report.wording import count, figure

__all__ = ["comparison_body", "comparison_title"]

MOST_CURVES, MOST_SCORES = 12, 60
NUMBER = "number"
CONTENDERS = (
    Column("start"), Column("learning rate", NUMBER), Column("score and interval", NUMBER), Column("median", NUMBER),
    Column("training loss", NUMBER), Column("validation loss", NUMBER), Column("trained", NUMBER),
    Column("diverged", NUMBER), Column("failed", NUMBER), Column("steps to target", NUMBER),
    Column("first gradient over last", NUMBER), Column("first step over weights", NUMBER),
)  # fmt: skip
PAIRS = (Column("one"), Column("other"), Column("difference", NUMBER), Column("beats it", NUMBER), Column("better"))
TRIALS = (
    Column("start"), Column("learning rate"), Column("seed"), Column("outcome"), Column("validation loss", NUMBER),
    Column("validation accuracy", NUMBER), Column("last batch's loss", NUMBER), Column("seconds", NUMBER),
)  # fmt: skip
LIMITS = (
    Column("start"), Column("smallest rate that trains", NUMBER), Column("largest rate that trains", NUMBER),
    Column("next larger rate tried", NUMBER),
)  # fmt: skip


def comparison_title(comparison: Comparison) -> str:
    """Name the contender that trains best, or state that none was shown to be best."""
    best = comparison.best()
    if not best:
        return "No training could be run"
    if len(best) == 1:
        return f"{best[0].name} trains best" if len(comparison.contenders) > 1 else f"{best[0].name}: one start"
    return f"{count(len(best), 'start')} not told apart, {best[0].name} in front"


def comparison_body(comparison: Comparison) -> Iterator[str]:
    """Yield the verdict, the trainings, the scores, every pair, learning rates, every trial, and the method."""
    best = comparison.best()
    lead = "; ".join(f"{arm.name} {interval(arm.score)}" for arm in best[:6] if arm.score is not None)
    yield paragraph(f"By {comparison.measure} on the validation examples at the end. {lead}", "soft")
    if not comparison.complete:
        done = f"{len(comparison.trials)} of {comparison.planned}"
        yield card("warning", "incomplete", f"{done} trainings have ended.")
    yield from (card("note", "note", note) for note in comparison.notes)
    yield from _trainings(comparison)
    yield from _scores(comparison)
    yield from _rates(comparison)
    if comparison.contrasts:
        yield heading(2, "Every pair")
        yield paragraph(
            "All intervals hold together with 95 % confidence. 'Beats it': how often one does better.", "soft"
        )
        yield table(PAIRS, map(_pair, comparison.contrasts), sortable=True)
    yield heading(2, "Every training")
    yield table(TRIALS, map(_trial, comparison.trials), sortable=True)
    yield heading(2, "How it was done")
    yield paragraph(
        f"{comparison.model} on {comparison.data}: {comparison.steps:,} steps of {comparison.batch} examples with "
        f"{comparison.optimizer}, {comparison.loss}; {count(len(comparison.seeds), 'seed')}, the same examples in the "
        f"same order for every start. A constant guess reaches a loss of {figure(comparison.chance_loss)}; the target "
        f"that steps are counted to is {figure(comparison.target_loss)}."
    )


def _trainings(comparison: Comparison) -> Iterator[str]:
    lines = [_line(name, band) for name, band in comparison.curves.items() if band.steps]
    if not lines:
        return
    yield heading(2, "The trainings")
    chance = comparison.chance_accuracy if comparison.measure == "accuracy" else comparison.chance_loss
    guides = [("guessing", chance)] if chance is not None else []
    for first in range(0, len(lines), MOST_CURVES):
        shown = lines[first : first + MOST_CURVES]
        yield drawn(partial(_training_chart, shown, comparison, guides))
        yield series_table(shown, "step")


def _training_chart(lines: list[Series], comparison: Comparison, guides: list[tuple[str, float]], width: float) -> str:
    of = f"validation {comparison.measure}; median of the seeds, and the middle half of them"
    return curves(lines, title="", x_label="step", y_label=of, guides=guides, width=width, height=400)


def _line(name: str, band: Band) -> Series:
    return Series(name, tuple(map(float, band.steps)), band.middle, band.low, band.high)


def _scores(comparison: Comparison) -> Iterator[str]:
    yield heading(2, "Every start")
    scored = [arm for arm in comparison.ranking if arm.score is not None]
    colours = {name: place % MOST_CURVES for place, name in enumerate(comparison.curves)}  # as in the curves
    estimates = [
        Estimate(arm.name, s.value, s.low, s.high, colours.get(arm.name, 0))
        for arm in scored[:MOST_SCORES]
        if (s := arm.score) is not None
    ]
    if len(estimates) > 1:
        title = f"Final validation {comparison.measure}, with 95 % intervals"
        yield drawn(lambda width: intervals(estimates, title=title, width=width))
    yield table(CONTENDERS, map(_contender, comparison.ranking), sortable=True)


def _contender(arm: Arm) -> tuple[str, ...]:
    return (
        arm.name,
        figure(arm.learning_rate),
        interval(arm.score) if arm.score else "",
        figure(arm.median),
        figure(arm.train_loss),
        figure(arm.validation_loss),
        f"{arm.trained.value:.0%}" if arm.trained else "",
        f"{arm.diverged.value:.0%}" if arm.diverged else "",
        str(arm.failed),
        _figure(arm.steps_to_target),
        _figure(arm.first_gradient_ratio),
        _figure(arm.relative_update),
    )


def _rates(comparison: Comparison) -> Iterator[str]:
    """Yield a chart of the score over the learning rate, where several were tried."""
    if len(comparison.learning_rates) < 2:
        return
    by_name: dict[str, list[Arm]] = {}
    for arm in comparison.arms:
        if arm.score is not None:
            by_name.setdefault(arm.name, []).append(arm)
    lines = [_over_rates(name, arms) for name, arms in by_name.items()][:MOST_CURVES]
    yield heading(2, "Learning rates")
    if lines:
        of = f"final validation {comparison.measure}, with 95 % intervals"
        yield drawn(
            lambda width: curves(
                lines, title="Over the learning rate", x_label="learning rate", y_label=of, log_x=True, width=width
            )
        )
        yield series_table(lines, "learning rate")
    if comparison.limits:
        yield table(LIMITS, map(_limit, comparison.limits))


def _over_rates(name: str, arms: list[Arm]) -> Series:
    points = sorted(((a.learning_rate, a.score) for a in arms if a.score is not None), key=lambda point: point[0])
    return Series(
        name,
        tuple(rate for rate, _ in points),
        tuple(score.value for _, score in points),
        tuple(score.low for _, score in points),
        tuple(score.high for _, score in points),
    )


def _limit(limit: RateLimit) -> tuple[str, ...]:
    name = f"{limit.scheme}, {limit.variant}" if limit.variant else limit.scheme
    return name, _figure(limit.smallest), _figure(limit.largest), _figure(limit.next_tried)


def _pair(contrast: Contrast) -> tuple[str, ...]:
    verdict = contrast.better or "not told apart"
    return contrast.first, contrast.second, interval(contrast.difference), f"{contrast.beats.value:.0%}", verdict


def _trial(trial: Trial) -> tuple[str, ...]:
    final = trial.curve.final if trial.curve and trial.curve.evaluations else None
    last = trial.curve.losses[-1] if trial.curve and trial.curve.losses else None
    return (
        f"{trial.scheme}, {trial.variant}" if trial.variant else trial.scheme,
        figure(trial.learning_rate),
        str(trial.seed),
        f"{trial.outcome}: {trial.error}" if trial.error else trial.outcome,
        _figure(final.loss if final else None),
        _figure(final.accuracy if final else None),
        _figure(last),
        figure(trial.seconds),
    )


def _figure(value: float | None) -> str:
    return "" if value is None else figure(value)
