"""Trains networks from several starts with several learning rates and seeds, by ``workflows.compare``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from gainstage.data import Dataset
from gainstage.errors import ModelError
from gainstage.lessons.networks import Net
from gainstage.lessons.question import Setting
from gainstage.records import Comparison, Line, TrainingCurve
from gainstage.workflows import compare
from gainstage.workflows.progress import Progress

__all__ = [
    "Budget", "Trainings", "accuracy_line", "by_start", "final_accuracy", "loss_line", "mean_accuracy", "shown_by",
    "train_all",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Budget:
    """The length of every training of a comparison, its optimizer and learning rates.

    Args:
        steps: number of steps.
        optimizer: name of the optimizer in the backend's table.
        rates: learning rates to choose from.
        batch: number of examples in one step.
        evaluations: number of evaluations on the validation examples.
        clip: the largest norm of a gradient; None does not clip.
    """

    steps: int
    optimizer: str = "momentum"
    rates: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01)
    batch: int = 32
    evaluations: int = 10
    clip: float | None = None


@dataclass(frozen=True, slots=True)
class Trainings:
    """All trainings from one start.

    Args:
        rates: learning rates, in increasing order.
        curves: for every rate, one training per seed.
    """

    rates: tuple[float, ...]
    curves: tuple[tuple[TrainingCurve, ...], ...]

    @property
    def best(self) -> tuple[TrainingCurve, ...]:
        """Return each seed's training at the rate that is best for the other seeds, which avoids selection bias."""
        scores = np.array([[mean_accuracy(curve) for curve in row] for row in self.curves])
        others = scores.sum(axis=1, keepdims=True) - scores if scores.shape[1] > 1 else scores
        return tuple(self.curves[rate][seed] for seed, rate in enumerate(np.argmax(others, axis=0)))

    @property
    def final(self) -> tuple[float, ...]:
        """Return the final validation accuracy of each seed, at the best rate."""
        return tuple(map(final_accuracy, self.best))

    @property
    def mean(self) -> tuple[float, ...]:
        """Return the validation accuracy averaged over the training, which is high where learning is fast and good."""
        return tuple(map(mean_accuracy, self.best))

    @property
    def finals(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Return the final validation accuracy of every training, shape (rates, seeds)."""
        return np.array([[final_accuracy(curve) for curve in row] for row in self.curves])


def train_all(
    nets: Mapping[str, Net], dataset: Dataset, budget: Budget, seeds: Sequence[int], setting: Setting, stage: str
) -> dict[str, Trainings]:
    """Train every network with every learning rate and seed; networks of one architecture are trained as one."""
    architectures: dict[object, dict[str, Net]] = {}
    for case, net in nets.items():
        architectures.setdefault(net.architecture, {})[case] = net
    found: dict[str, Trainings] = {}
    for cases in architectures.values():
        comparison = compare(
            partial(next(iter(cases.values())).build, dataset),
            dataset,
            {case: partial(net.initialize, dataset=dataset) for case, net in cases.items()},
            seeds=seeds,
            learning_rates=budget.rates,
            optimizer=budget.optimizer,
            steps=budget.steps,
            batch_size=budget.batch,
            evaluations=budget.evaluations,
            clip=budget.clip,
            workers=1,
            on_progress=shown_by(setting, stage),
        )
        found |= by_start(comparison)
    return {case: found[case] for case in nets}


def shown_by(setting: Setting, stage: str) -> Callable[[Progress], None]:
    """Return a function that passes a comparison's progress to the setting."""

    def show(progress: Progress) -> None:
        shares = [line.share for line in progress.lines]
        setting.progress(stage, round(100 * sum(shares) / len(shares)), 100)

    return show


def by_start(comparison: Comparison) -> dict[str, Trainings]:
    """Group the trainings of a comparison by start, or by network where several networks have one start.

    Raises:
        ModelError: a training could not be run.
    """
    curves: dict[tuple[str, float, int], TrainingCurve] = {}
    for trial in comparison.trials:
        if trial.curve is None:
            raise ModelError(f"A training from '{trial.scheme}' could not be run: {trial.error}")
        curves[trial.variant or trial.scheme, trial.learning_rate, trial.seed] = trial.curve
    rates, seeds = comparison.learning_rates, comparison.seeds
    return {
        name: Trainings(rates, tuple(tuple(curves[name, rate, seed] for seed in seeds) for rate in rates))
        for name in dict.fromkeys(key[0] for key in curves)
    }


def final_accuracy(curve: TrainingCurve) -> float:
    """Return the final validation accuracy; that of guessing where the training diverged."""
    accuracy = curve.chance_accuracy if curve.diverged else curve.final.accuracy
    return math.nan if accuracy is None else accuracy


def mean_accuracy(curve: TrainingCurve) -> float:
    """Return the validation accuracy averaged over evaluations; that of guessing where the training diverged."""
    if curve.diverged:
        return final_accuracy(curve)
    return float(np.mean([math.nan if e.accuracy is None else e.accuracy for e in curve.evaluations[1:]]))


def accuracy_line(label: str, curves: Iterable[TrainingCurve]) -> Line:
    """Return validation accuracy over steps, averaged over trainings; a diverged training counts as guessing."""
    known = tuple(curves)
    steps = max((tuple(e.step for e in curve.evaluations) for curve in known), key=len)
    rows = []
    for curve in known:
        seen = {e.step: e.accuracy for e in curve.evaluations if math.isfinite(e.loss)}
        rows.append([seen.get(step, curve.chance_accuracy) for step in steps])
    return Line(label, tuple(map(float, steps)), tuple(np.array(rows, np.float64).mean(axis=0).tolist()))


def loss_line(label: str, curve: TrainingCurve, steps: int | None = None) -> Line:
    """Return the loss on every batch of one training."""
    losses = curve.losses[:steps]
    return Line(label, tuple(map(float, range(1, len(losses) + 1))), losses)
