"""Comparison: the same network trained from several starts, and what can be concluded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from gainstage.records.figure import Figure
from gainstage.records.rendering import Rendered
from gainstage.records.training import TrainingCurve

__all__ = ["Arm", "Band", "Comparison", "Contrast", "Measure", "RateLimit", "Trial", "TrialOutcome"]

Measure = Literal["accuracy", "loss"]
"""What trials are judged by: validation accuracy (more is better) or validation loss (less is) at the end."""

TrialOutcome = Literal["trained", "stuck", "diverged", "failed"]
"""``trained``: below the best constant guess; ``stuck``: not; ``diverged``: not finite, or above the start for long;
``failed``: the model could not be built, initialized or run."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One training: a start, a learning rate, a seed.

    Trials of the same seed see the same examples in the same order, whatever their scheme.

    Args:
        scheme: how the weights were drawn; ``keep`` leaves them as the model was built (``default`` in files of schema
            version 2).
        learning_rate: constant.
        seed: of weights and of the order of examples.
        variant: which of several networks; empty where there is one.
        outcome: how it ended.
        curve: the training; None where it failed.
        error: what was raised, where it failed.
        together: how many trainings ran as one model; 1 for a training of its own.
        seconds: its share of the time they took.
    """

    scheme: str
    learning_rate: float
    seed: int
    variant: str = ""
    outcome: TrialOutcome = "failed"
    curve: TrainingCurve | None = None
    error: str = ""
    together: int = 1
    seconds: float = math.nan

    @property
    def key(self) -> tuple[str, str, float, int]:
        """What tells it from the other trials of a comparison: variant, scheme, learning rate, seed."""
        return self.variant, self.scheme, self.learning_rate, self.seed


@dataclass(frozen=True, slots=True)
class Band:
    """A curve over several seeds: the median, and the quartiles around it.

    Args:
        steps: how many steps had been made.
        middle: median over seeds; a training that diverged counts as guessing from there on.
        low: lower quartile.
        high: upper quartile.
    """

    steps: tuple[int, ...]
    middle: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """All seeds of one start.

    Args:
        scheme: how the weights were drawn.
        variant: which of several networks; empty where there is one.
        learning_rate: of its trials; of a contender that could choose, the rate that is best over all seeds.
        trials: how many ended, failed ones included.
        failed: how many could not be run.
        score: interquartile mean of the measure over seeds, with its bootstrap interval; None where all failed.
        median: of the measure.
        train_loss: median over seeds, at the end, on the training examples.
        validation_loss: likewise on the validation examples.
        train_accuracy: likewise; None for a regression.
        validation_accuracy: likewise.
        trained: share of seeds that ended below the best constant guess, with Wilson's interval; None where all failed.
        diverged: share of seeds that diverged, likewise.
        steps_to_target: median number of steps to the target loss; None where fewer than half of the seeds got there.
        first_gradient_ratio: median over seeds of the gradient norm at the first weight in sizes of that at the last
            one, in the first step; None where it was not measured.
        relative_update: median over seeds of the size of the first step in sizes of the weights; None likewise.
        seconds: of all its trials.
        loss: validation loss over steps; None where all failed.
        accuracy: validation accuracy over steps; None for a regression too.
    """

    scheme: str
    variant: str
    learning_rate: float
    trials: int
    failed: int
    score: Figure | None = None
    median: float = math.nan
    train_loss: float = math.nan
    validation_loss: float = math.nan
    train_accuracy: float | None = None
    validation_accuracy: float | None = None
    trained: Figure | None = None
    diverged: Figure | None = None
    steps_to_target: float | None = None
    first_gradient_ratio: float | None = None
    relative_update: float | None = None
    seconds: float = math.nan
    loss: Band | None = None
    accuracy: Band | None = None

    @property
    def name(self) -> str:
        """Scheme, and variant where there is one."""
        return f"{self.scheme}, {self.variant}" if self.variant else self.scheme


@dataclass(frozen=True, slots=True)
class Contrast:
    """Two contenders, seed by seed.

    Args:
        first: name of one.
        second: name of the other.
        difference: mean over seeds of the first's measure minus the second's; all contrasts' intervals hold together
            with 95 % confidence.
        beats: probability that the first does better than the second, ties counting half.
        better: the name of the better one; empty where the interval contains no difference.
        speed: how many times as many steps the first needs to the target loss, geometric mean over the seeds in which
            one of them got there, with an interval likewise; who did not get there counts with all steps made. None
            where neither ever got there.
        faster: the name of the faster one; empty where the interval contains 1.
    """

    first: str
    second: str
    difference: Figure
    beats: Figure
    better: str = ""
    speed: Figure | None = None
    faster: str = ""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The largest learning rate that still trains one contender.

    Args:
        scheme: how the weights were drawn.
        variant: which of several networks; empty where there is one.
        largest: the largest rate of those tried at which more than half of the seeds trained, with no smaller rate
            above the smallest that trains failing in between; None where none trains.
        next_tried: the next larger rate that was tried; None where the largest of all still trains.
        smallest: the smallest rate that trains; None where none does.
    """

    scheme: str
    variant: str
    largest: float | None
    next_tried: float | None = None
    smallest: float | None = None


@dataclass(frozen=True)
class Comparison(Rendered):
    """The same network, data and optimizer from several starts.

    Args:
        model: what was trained, in words.
        data: on what, in words.
        measure: what contenders are judged by.
        schemes: as asked for, in order.
        variants: likewise; one empty name where there is one network.
        learning_rates: likewise.
        seeds: likewise.
        steps: of every training.
        batch: examples in one step.
        optimizer: in words.
        loss: in words.
        target_loss: what ``steps_to_target`` counts to: of the mean of ten batches.
        chance_loss: of the best constant guess.
        chance_accuracy: likewise; None for a regression.
        trials: all that ended.
        contenders: one for every variant and scheme, in the order of schemes; with several learning rates each seed is
            trained at the rate that does best on the *other* seeds, so that choosing does not flatter.
        arms: one for every variant, scheme and learning rate.
        contrasts: every pair of contenders.
        limits: the largest learning rate of every contender; empty with a single rate.
        notes: what the reader should know: few seeds, why trainings ran one by one.
    """

    model: str
    data: str
    measure: Measure
    schemes: tuple[str, ...]
    variants: tuple[str, ...]
    learning_rates: tuple[float, ...]
    seeds: tuple[int, ...]
    steps: int
    batch: int
    optimizer: str
    loss: str
    target_loss: float
    chance_loss: float
    chance_accuracy: float | None
    trials: tuple[Trial, ...]
    contenders: tuple[Arm, ...]
    arms: tuple[Arm, ...]
    contrasts: tuple[Contrast, ...]
    limits: tuple[RateLimit, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def planned(self) -> int:
        """How many trials were asked for."""
        return len(self.schemes) * len(self.variants) * len(self.learning_rates) * len(self.seeds)

    @property
    def complete(self) -> bool:
        """Whether all trials have ended."""
        return len(self.trials) == self.planned

    @property
    def ranking(self) -> tuple[Arm, ...]:
        """Contenders from the best score to the worst; those that always failed come last."""
        sign = -1.0 if self.measure == "accuracy" else 1.0
        return tuple(sorted(self.contenders, key=lambda arm: sign * arm.score.value if arm.score else math.inf))

    @property
    def curves(self) -> dict[str, Band]:
        """The measure over steps, by contender."""
        bands = {arm.name: arm.accuracy if self.measure == "accuracy" else arm.loss for arm in self.contenders}
        return {name: band for name, band in bands.items() if band is not None}

    def best(self) -> tuple[Arm, ...]:
        """The contender with the best score, then all that were not shown to be worse than it.

        One alone is a winner; several are not told apart by these seeds; none is left where everything failed.
        """
        ranked = [arm for arm in self.ranking if arm.score is not None]
        beaten = {
            contrast.second if contrast.better == contrast.first else contrast.first
            for contrast in self.contrasts
            if ranked and contrast.better == ranked[0].name
        }
        return tuple(arm for arm in ranked if arm.name not in beaten)

    def table(self) -> list[dict[str, Any]]:
        """One row a contender, best first, as plain values: ``pandas.DataFrame(comparison.table())`` takes them."""
        return [
            {
                "scheme": arm.scheme,
                "variant": arm.variant,
                "learning_rate": arm.learning_rate,
                self.measure: arm.score.value if arm.score else math.nan,
                "low": arm.score.low if arm.score else math.nan,
                "high": arm.score.high if arm.score else math.nan,
                "median": arm.median,
                "train_loss": arm.train_loss,
                "validation_loss": arm.validation_loss,
                "train_accuracy": arm.train_accuracy,
                "validation_accuracy": arm.validation_accuracy,
                "trained": arm.trained.value if arm.trained else math.nan,
                "diverged": arm.diverged.value if arm.diverged else math.nan,
                "failed": arm.failed,
                "steps_to_target": arm.steps_to_target,
                "seeds": arm.trials,
            }
            for arm in self.ranking
        ]
