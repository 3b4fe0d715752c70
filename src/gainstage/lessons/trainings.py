"""Trainings over several seeds, each kind of start at the best of a few learning rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gainstage.backends.torch.train import train
from gainstage.data import Dataset
from gainstage.lessons.networks import Net
from gainstage.lessons.question import Setting
from gainstage.records import Line, TrainingCurve

__all__ = ["Budget", "Trained", "accuracy_line", "at_best_rate", "final_accuracy", "mean_accuracy", "run"]

PILOT = 500
"""Added to a seed for the trainings that choose the learning rate: they must not be those that are judged."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What every training of a comparison may spend.

    Args:
        steps: of a training.
        optimizer: a key of the backend's table.
        rates: learning rates to choose from.
        batch: examples in one step.
        evaluations: looks at the validation examples.
        clip: the largest norm of a gradient; None clips nothing.
    """

    steps: int
    optimizer: str = "momentum"
    rates: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01)
    batch: int = 64
    evaluations: int = 20
    clip: float | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """Trainings of one kind of start, at one learning rate, one for every seed."""

    rate: float
    curves: tuple[TrainingCurve, ...]

    @property
    def final(self) -> tuple[float, ...]:
        """Validation accuracy at the end."""
        return tuple(map(final_accuracy, self.curves))

    @property
    def mean(self) -> tuple[float, ...]:
        """Validation accuracy averaged over the training: high only where learning is both fast and good."""
        return tuple(map(mean_accuracy, self.curves))

    @property
    def diverged(self) -> int:
        """How many ended in a loss that is not a number."""
        return sum(curve.diverged for curve in self.curves)


def run(net: Net, dataset: Dataset, budget: Budget, rate: float, seed: int) -> TrainingCurve:
    """One training from a fresh start."""
    return train(
        net.start(dataset, seed),
        dataset,
        steps=budget.steps,
        batch=budget.batch,
        learning_rate=rate,
        optimizer=budget.optimizer,
        clip=budget.clip,
        seed=seed,
        evaluations=budget.evaluations,
        label=f"{net.scheme} {net.activation}",
    )


def at_best_rate(
    net: Net, dataset: Dataset, budget: Budget, seeds: Sequence[int], setting: Setting, stage: str
) -> Trained:
    """Choose the learning rate in pilot trainings of another seed, then train with every seed."""
    total = len(seeds) + (len(budget.rates) if len(budget.rates) > 1 else 0)
    done = 0

    def one(rate: float, seed: int) -> TrainingCurve:
        nonlocal done
        setting.progress(stage, done, total)
        done += 1
        return run(net, dataset, budget, rate, seed)

    best = budget.rates[0]
    if len(budget.rates) > 1:
        pilots = {rate: mean_accuracy(one(rate, seeds[0] + PILOT)) for rate in budget.rates}
        best = max(pilots, key=lambda rate: pilots[rate])
    return Trained(best, tuple(one(best, seed) for seed in seeds))


def final_accuracy(curve: TrainingCurve) -> float:
    """Validation accuracy at the end; that of guessing where training diverged."""
    accuracy = curve.chance_accuracy if curve.diverged else curve.final.accuracy
    return math.nan if accuracy is None else accuracy


def mean_accuracy(curve: TrainingCurve) -> float:
    """Validation accuracy averaged over the looks after the first step; that of guessing where training diverged."""
    if curve.diverged:
        return final_accuracy(curve)
    return float(np.mean([math.nan if e.accuracy is None else e.accuracy for e in curve.evaluations[1:]]))


def accuracy_line(label: str, trained: Trained) -> Line:
    """Validation accuracy over steps, the mean of those trainings that reached the end."""
    whole = [curve for curve in trained.curves if not curve.diverged]
    if not whole:
        return Line(label, (0.0,), (final_accuracy(trained.curves[0]),))
    steps = tuple(float(e.step) for e in whole[0].evaluations)
    accuracies = np.array([[e.accuracy for e in curve.evaluations] for curve in whole], np.float64)
    return Line(label, steps, tuple(accuracies.mean(axis=0).tolist()))
