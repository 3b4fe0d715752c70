"""Many trainings of one network as one vectorised model, against one after the other with all threads.

Trainings alone are timed on a few of them and multiplied: each takes as long as the next. Name other networks on the
command line, e.g. ``convolution``.
"""

from __future__ import annotations

import os
import sys

import torch
from _timing import paired, row
from torch import nn

from gainstage.backends.torch.models.build import mlp
from gainstage.backends.torch.training import Criterion, Examples, Start, train_alone, train_together
from gainstage.data import gaussian
from gainstage.records.training import Schedule

TRIALS, ALONE, STEPS, RUNS = 32, 2, 200, 3


def convolution() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


NETWORKS = {
    "20 layers of 64, batch 32": (lambda: mlp([64] * 21 + [10], activation="tanh"), 64, 32, "at least 3.5 x"),
    "10 layers of 128, batch 64": (lambda: mlp([128] * 11 + [10], activation="tanh"), 128, 64, "at least 2 x"),
    "5 layers of 64, batch normalised, batch 64": (
        lambda: mlp([64] * 6 + [10], activation="relu", norm="batch"), 64, 64, "for comparison",
    ),
    "4 layers of 512, batch 64": (lambda: mlp([512] * 5 + [10], activation="relu"), 512, 64, "for comparison"),
    "small convolution, batch 32": (convolution, 64, 32, "for comparison"),
}  # fmt: skip


def report(name: str, optimizer: str) -> None:
    make, features, batch, target = NETWORKS[name]
    dataset = gaussian(classes=10, features=features, examples=1800)
    examples, criterion = Examples.of(dataset), Criterion.of(None, dataset.classes)
    schedule = Schedule(STEPS, batch, evaluations=10)
    rates = (1e-4, 3e-4, 1e-3, 3e-3)
    starts = [Start(make(), rates[i % 4], i // 4) for i in range(TRIALS)]

    def together() -> None:
        train_together(starts, examples, schedule, criterion=criterion, optimizer=optimizer)

    def alone() -> None:
        for start in starts[:ALONE]:
            train_alone(
                Start(make(), start.learning_rate, start.seed), examples, schedule, criterion=criterion,
                optimizer=optimizer,
            )  # fmt: skip

    seconds, ratio = paired(together, alone, runs=RUNS)
    row(f"{name}, {optimizer}: {TRIALS} trainings in {seconds:.1f} s", f"{ratio * TRIALS / ALONE:.2f} x faster", target)


def main() -> None:
    asked = sys.argv[1:] or [name for name, (*_, target) in NETWORKS.items() if target.startswith("at least")]
    print(f"{torch.get_num_threads()} threads for both, {os.cpu_count()} processors")
    for name in [name for name in NETWORKS if any(word in name for word in asked)]:
        for optimizer in ("adam", "momentum"):
            report(name, optimizer)


if __name__ == "__main__":
    main()
