"""Records of a comparison: the same network trained from several starts, and the conclusions from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from gainstage.records.figure import Figure
from gainstage.records.rendering import Rendered
from gainstage.records.training import TrainingCurve

__all__ = ["Arm", "Band", "Comparison", "Contrast", "Measure", "RateLimit", "Trial", "TrialOutcome"]

Measure = Literal["accuracy", "loss"]
"""The measure by which trials are compared: final validation accuracy (higher is better) or loss (lower is)."""

TrialOutcome = Literal["trained", "stuck", "diverged", "failed"]
"""``trained``: the loss ended below that of the best constant guess; ``stuck``: the loss did not; ``diverged``: the
loss was not finite, or stayed above its start for long; ``failed``: the model could not be built, initialized or
run."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One training, identified by its start, learning rate and seed.

    Trials of the same seed train on the same examples in the same order, whatever their scheme.

    Args:
        scheme: the scheme that drew the weights; ``keep`` leaves them as the model was built (``default`` in files of
            schema version 2).
        learning_rate: the learning rate, constant over the steps.
        seed: the seed of the weights and of the order of examples.
        variant: the name of the network, where several are compared; empty where there is one.
        outcome: how the training ended.
        curve: the losses and evaluations of the training; None where it failed.
        error: the error that was raised, where the training failed.
        together: how many trainings were stacked and run as one model; 1 for a separate training.
        seconds: the trial's share of the time that these trainings took.
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
        """Return what identifies the trial within a comparison: variant, scheme, learning rate, seed."""
        return self.variant, self.scheme, self.learning_rate, self.seed


@dataclass(frozen=True, slots=True)
class Band:
    """The median and the quartiles of a curve over several seeds.

    Args:
        steps: numbers of steps at which the curve was evaluated.
        middle: median over seeds; a training that diverged counts as guessing from that step on.
        low: lower quartile.
        high: upper quartile.
    """

    steps: tuple[int, ...]
    middle: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """Statistics over all seeds of one start at one learning rate.

    Args:
        scheme: the scheme that drew the weights.
        variant: the name of the network, where several are compared; empty where there is one.
        learning_rate: the learning rate of the trials; for a contender with several rates, the one that is best over
            all seeds.
        trials: number of trials that ended, including failed ones.
        failed: number of trials that could not be run.
        score: interquartile mean of the measure over seeds, with its bootstrap interval; None where all trials failed.
        median: median of the measure over seeds.
        train_loss: median over seeds of the final loss on the training examples.
        validation_loss: median over seeds of the final loss on the validation examples.
        train_accuracy: median over seeds of the final accuracy on the training examples; None for a regression.
        validation_accuracy: median over seeds of the final accuracy on the validation examples; None for a regression.
        trained: share of seeds that ended below the best constant guess, with Wilson's interval; None where all failed.
        diverged: share of seeds that diverged, with Wilson's interval; None where all failed.
        steps_to_target: median number of steps to the target loss; None where fewer than half of the seeds reached it.
        first_gradient_ratio: in the first step, the gradient norm at the first weight over that at the last weight,
            median over seeds; None where it was not measured.
        relative_update: norm of the first update over the norm of the weights, median over seeds; None where it was not
            measured.
        seconds: time of all trials together.
        loss: validation loss over steps; None where all trials failed.
        accuracy: validation accuracy over steps; None where all trials failed, and for a regression.
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
        """Return the scheme's name, followed by the variant's where there is one."""
        return f"{self.scheme}, {self.variant}" if self.variant else self.scheme


@dataclass(frozen=True, slots=True)
class Contrast:
    """The comparison of two contenders, seed by seed.

    Args:
        first: name of the first contender.
        second: name of the second contender.
        difference: mean over seeds of the first's measure minus the second's. The intervals of all contrasts hold
            together with 95 % confidence.
        beats: probability that the first does better than the second; ties count half.
        better: the name of the better contender; empty where the interval contains zero.
        speed: the first's number of steps to the target loss over the second's: the geometric mean over the seeds in
            which at least one of them reached it, with an interval likewise. A training that did not reach it counts
            with all its steps. None where neither reached it in any seed.
        faster: the name of the faster contender; empty where the interval contains 1.
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
    """The largest learning rate at which one contender still trains.

    Args:
        scheme: the scheme that drew the weights.
        variant: the name of the network, where several are compared; empty where there is one.
        largest: the largest of the tried rates at which more than half of the seeds trained, such that all tried rates
            between ``smallest`` and it trained as well; None where no rate trains.
        next_tried: the next larger rate that was tried; None where the largest of all rates still trains.
        smallest: the smallest rate that trains; None where no rate does.
    """

    scheme: str
    variant: str
    largest: float | None
    next_tried: float | None = None
    smallest: float | None = None


@dataclass(frozen=True)
class Comparison(Rendered):
    """Trainings of the same network on the same data from several starts, and their statistics.

    Args:
        model: description of the network.
        data: description of the data.
        measure: the measure by which contenders are compared.
        schemes: the requested schemes, in order.
        variants: the requested networks, in order; one empty name where there is one network.
        learning_rates: the requested learning rates, in order.
        seeds: the requested seeds, in order.
        steps: number of steps of every training.
        batch: number of examples in one step.
        optimizer: description of the optimizer.
        loss: description of the loss.
        target_loss: the loss to which ``steps_to_target`` counts; a training reaches it when the mean of ten batches
            does.
        chance_loss: the loss of the best constant guess.
        chance_accuracy: the accuracy of the best constant guess; None for a regression.
        trials: all trials that ended.
        contenders: one for every variant and scheme, in the order of schemes. With several learning rates, each seed is
            judged at the rate that does best on the *other* seeds, so that the choice adds no bias.
        arms: one for every combination of variant, scheme and learning rate.
        contrasts: one for every pair of contenders.
        limits: the largest usable learning rate of every contender; empty with a single rate.
        notes: remarks for the reader: few seeds, or why trainings ran one by one.
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
        """Return the number of requested trials."""
        return len(self.schemes) * len(self.variants) * len(self.learning_rates) * len(self.seeds)

    @property
    def complete(self) -> bool:
        """Report whether all requested trials have ended."""
        return len(self.trials) == self.planned

    @property
    def ranking(self) -> tuple[Arm, ...]:
        """Return the contenders from the best score to the worst; contenders whose trials all failed come last."""
        sign = -1.0 if self.measure == "accuracy" else 1.0
        return tuple(sorted(self.contenders, key=lambda arm: sign * arm.score.value if arm.score else math.inf))

    @property
    def curves(self) -> dict[str, Band]:
        """Return the measure over steps, by the contender's name."""
        bands = {arm.name: arm.accuracy if self.measure == "accuracy" else arm.loss for arm in self.contenders}
        return {name: band for name, band in bands.items() if band is not None}

    def best(self) -> tuple[Arm, ...]:
        """Return the contender with the best score, then all that are not significantly worse.

        One contender alone is the winner. Several mean that these seeds do not distinguish them. The result is empty
        where every trial failed.
        """
        ranked = [arm for arm in self.ranking if arm.score is not None]
        beaten = {
            contrast.second if contrast.better == contrast.first else contrast.first
            for contrast in self.contrasts
            if ranked and contrast.better == ranked[0].name
        }
        return tuple(arm for arm in ranked if arm.name not in beaten)

    def table(self) -> list[dict[str, Any]]:
        """Return one row of plain values per contender, best first, as ``pandas.DataFrame`` accepts them."""
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
