"""Computes the statistics of a comparison from its trials."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product

import numpy as np

from gainstage.records import Arm, Band, Comparison, Measure, RateLimit, TrainingCurve, Trial
from gainstage.statistics.contrasts import Contender, contrasts
from gainstage.statistics.figures import share
from gainstage.statistics.outcomes import guess, steps_to
from gainstage.statistics.resampling import interquartile_mean

__all__ = ["compared"]

FEW = 5
"""The smallest number of seeds for which a bootstrap interval of 95 % exists."""


def compared(
    trials: Iterable[Trial],
    *,
    model: str,
    data: str,
    schemes: Sequence[str],
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    steps: int,
    batch: int,
    optimizer: str,
    loss: str,
    chance_loss: float,
    chance_accuracy: float | None,
    variants: Sequence[str] = ("",),
    measure: Measure | None = None,
    target_loss: float | None = None,
    held: int = 0,
    notes: Sequence[str] = (),
) -> Comparison:
    """Combine trials into a comparison, with the statistics and conclusions.

    Args:
        trials: the trials that ended, in any order.
        model, data, optimizer, loss: descriptions of what was trained.
        schemes, variants, learning_rates, seeds: what was requested.
        steps, batch: number of steps, and of examples per step, of every training.
        chance_loss, chance_accuracy: loss and accuracy of the best constant guess.
        measure: the measure by which contenders are compared; by default accuracy where there is one, else loss.
        target_loss: the loss to which steps are counted; half of ``chance_loss`` by default.
        held: number of validation examples; accuracy is a multiple of 1 / held.
        notes: for the reader.
    """
    order = {key: i for i, key in enumerate(product(variants, schemes, learning_rates, seeds))}
    known = sorted((t for t in trials if t.key in order), key=lambda t: order[t.key])
    judged = any(t.curve is not None and t.curve.final.accuracy is not None for t in known)
    measure = measure or ("accuracy" if judged else "loss")
    target = chance_loss / 2 if target_loss is None else target_loss
    grid = 1 / held if measure == "accuracy" and held else 0.0
    judge = _Judge(measure, target, grid)
    cells = {
        (variant, scheme, rate): [t for t in known if t.key[:3] == (variant, scheme, rate)]
        for variant, scheme, rate in product(variants, schemes, learning_rates)
    }
    arms = {key: judge.arm(*key, found) for key, found in cells.items()}
    chosen = {
        (variant, scheme): judge.at_best_rate({rate: cells[variant, scheme, rate] for rate in learning_rates})
        for variant, scheme in product(variants, schemes)
    }
    contenders = [judge.arm(variant, scheme, *choice) for (variant, scheme), choice in chosen.items()]
    sides = [judge.contender(arm.name, chosen[arm.variant, arm.scheme][1]) for arm in contenders]
    limits = [judge.limit(arm, [arms[arm.variant, arm.scheme, rate] for rate in learning_rates]) for arm in contenders]
    return Comparison(
        model=model, data=data, measure=measure, schemes=tuple(schemes), variants=tuple(variants),
        learning_rates=tuple(learning_rates), seeds=tuple(seeds), steps=steps, batch=batch, optimizer=optimizer,
        loss=loss, target_loss=target, chance_loss=chance_loss, chance_accuracy=chance_accuracy, trials=tuple(known),
        contenders=tuple(contenders), arms=tuple(arms.values()),
        contrasts=contrasts(sides, measure, grid=grid, most=steps),
        limits=tuple(limits) if len(learning_rates) > 1 else (),
        notes=(*_notes(known, len(order), seeds, len(learning_rates)), *notes),
    )  # fmt: skip


class _Judge:
    """Computes scores of trials by one measure."""

    def __init__(self, measure: Measure, target: float, grid: float) -> None:
        self._measure, self._target, self._grid = measure, target, grid
        self._sign = 1.0 if measure == "accuracy" else -1.0

    def value(self, trial: Trial) -> float:
        """Return the final measure of a trial; that of guessing where the training diverged."""
        if trial.curve is None:
            return math.nan
        return _at_end(trial.curve, self._measure, diverged=trial.outcome == "diverged")

    def scores(self, trials: Iterable[Trial]) -> dict[int, float]:
        """Map the seed of each trial to its measure."""
        return {t.seed: self.value(t) for t in trials if t.curve is not None}

    def arm(self, variant: str, scheme: str, rate: float, trials: Sequence[Trial]) -> Arm:
        """Compute the statistics over all seeds of one start."""
        ran = [(t, t.curve) for t in trials if t.curve is not None]
        failed = len(trials) - len(ran)
        seconds = sum(t.seconds for t in trials if math.isfinite(t.seconds))
        if not ran:
            return Arm(scheme, variant, rate, len(trials), failed, seconds=seconds)
        curves = [curve for _, curve in ran]
        values = [self.value(t) for t, _ in ran]
        ends = [curve.trained for curve in curves if curve.trained is not None]
        reached = [steps_to(curve, self._target) for curve in curves]
        first = [curve.first_steps[0] for curve in curves if curve.first_steps]
        score = interquartile_mean(self._measure, values, scheme, resolution=self._grid)
        return Arm(
            scheme, variant, rate, len(trials), failed, score,
            median=float(np.median(values)),
            train_loss=_median([e.loss for e in ends]),
            validation_loss=_median([_at_end(c, "loss", diverged=t.outcome == "diverged") for t, c in ran]),
            train_accuracy=_median_of_known([e.accuracy for e in ends]),
            validation_accuracy=_median_of_known([c.final.accuracy for c in curves]),
            trained=share("trained", sum(t.outcome == "trained" for t, _ in ran), len(ran), scheme),
            diverged=share("diverged", sum(t.outcome == "diverged" for t, _ in ran), len(ran), scheme),
            steps_to_target=_finite(float(np.median([math.inf if s is None else s for s in reached]))),
            first_gradient_ratio=_median_of_known(
                [s.first_gradient / s.last_gradient if s.last_gradient > 0 else None for s in first]
            ),
            relative_update=_median_of_known([s.relative_update for s in first]),
            seconds=seconds,
            loss=_band(curves, "loss"),
            accuracy=_band(curves, "accuracy") if curves[0].final.accuracy is not None else None,
        )  # fmt: skip

    def at_best_rate(self, cells: Mapping[float, Sequence[Trial]]) -> tuple[float, list[Trial]]:
        """Return the rate that is best over all seeds, and each seed's trial at the rate best on the other seeds."""
        table = {rate: self.scores(trials) for rate, trials in cells.items()}
        seeds = list(dict.fromkeys(t.seed for trials in cells.values() for t in trials))

        def best(among: Sequence[int]) -> float | None:
            means = {
                rate: self._sign * float(np.mean([scores[s] for s in among if s in scores]))
                for rate, scores in table.items()
                if any(s in scores for s in among)
            }
            return max(means, key=lambda rate: means[rate]) if means else None

        overall = best(seeds)
        if overall is None:
            return next(iter(cells)), [t for trials in cells.values() for t in trials][: len(seeds)]
        chosen = []
        for seed in seeds:
            rate = best([s for s in seeds if s != seed]) or overall
            chosen += [t for t in cells[rate] if t.seed == seed]
        return overall, chosen

    def contender(self, name: str, trials: Sequence[Trial]) -> Contender:
        """Collect scores and steps to the target by seed."""
        reached = {t.seed: steps_to(t.curve, self._target) for t in trials if t.curve is not None}
        steps = {seed: math.inf if step is None else float(step) for seed, step in reached.items()}
        return Contender(name, self.scores(trials), steps)

    def limit(self, contender: Arm, arms: Sequence[Arm]) -> RateLimit:
        """Return the largest rate such that every tried rate from the smallest usable one up to it trains."""
        rising = sorted(arms, key=lambda arm: arm.learning_rate)
        trains = [arm.trained is not None and arm.trained.value > 0.5 for arm in rising]
        if not any(trains):
            return RateLimit(contender.scheme, contender.variant, None)
        start = trains.index(True)
        end = next((i for i in range(start, len(trains)) if not trains[i]), len(trains))
        above = rising[end].learning_rate if end < len(rising) else None
        largest, smallest = rising[end - 1].learning_rate, rising[start].learning_rate
        return RateLimit(contender.scheme, contender.variant, largest, above, smallest)


def _at_end(curve: TrainingCurve, measure: Measure, *, diverged: bool) -> float:
    if measure == "accuracy":
        value = curve.chance_accuracy if diverged else curve.final.accuracy
        return math.nan if value is None else value
    return guess(curve) if diverged else curve.final.loss


def _band(curves: Sequence[TrainingCurve], measure: Measure) -> Band:
    """Compute quartiles at every evaluation; a training counts as guessing from its first non-finite loss on."""
    longest = max(curves, key=lambda curve: len(curve.evaluations))
    rows = []
    for curve in curves:
        seen = {
            e.step: e.accuracy if measure == "accuracy" else e.loss for e in curve.evaluations if math.isfinite(e.loss)
        }
        lost = _at_end(curve, measure, diverged=True)
        rows.append([_or(seen.get(e.step), lost) for e in longest.evaluations])
    low, middle, high = np.quantile(np.asarray(rows, np.float64), (0.25, 0.5, 0.75), axis=0)
    steps = tuple(e.step for e in longest.evaluations)
    return Band(steps, tuple(middle.tolist()), tuple(low.tolist()), tuple(high.tolist()))


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else math.nan


def _median_of_known(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.median(known)) if known else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _notes(trials: Sequence[Trial], planned: int, seeds: Sequence[int], rates: int) -> list[str]:
    notes = []
    if len(trials) < planned:
        notes.append(f"{len(trials)} of {planned} trials have ended.")
    if len(seeds) == 1:
        notes.append("One seed only: no interval can be given, and nothing is called better.")
        if rates > 1:
            notes.append("Learning rates were chosen on the seed that is shown, which flatters.")
    elif len(seeds) < FEW:
        notes.append(
            f"Only {len(seeds)} seeds: intervals are wide and rest on the normal distribution. Five or more are better."
        )
    failed: dict[tuple[str, str], int] = {}
    for trial in trials:
        if trial.outcome == "failed":
            failed[trial.scheme, trial.error] = failed.get((trial.scheme, trial.error), 0) + 1
    notes += [f"{scheme} failed in {n} trial{'s' * (n > 1)}: {error}" for (scheme, error), n in failed.items()]
    return notes
