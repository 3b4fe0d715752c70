"""Real trainings on digits: every start at its best learning rate of a grid, medians over seeds with their range.

A part of the table that is planned: plain nets only. ``--seeds`` and ``--steps`` make it longer.
"""

from __future__ import annotations

import argparse
import itertools
from statistics import median

import torch
from torch import nn

import gainstage as gs
from gainstage.backends.torch.train import train
from gainstage.data import Dataset, load

STARTS = ("pytorch_default", "glorot_normal", "he_normal", "orthogonal", "auto")
NETS = {"sigmoid 12": (nn.Sigmoid, 12), "tanh 30": (nn.Tanh, 30), "relu 30": (nn.ReLU, 30), "gelu 30": (nn.GELU, 30)}
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
WIDTH = 64


def network(features: int, classes: int, activation: type[nn.Module], depth: int) -> nn.Sequential:
    sizes = [features, *[WIDTH] * depth]
    layers = [m for fan_in, out in itertools.pairwise(sizes) for m in (nn.Linear(fan_in, out), activation())]
    return nn.Sequential(*layers, nn.Linear(WIDTH, classes))


def accuracy(data: Dataset, name: str, start: str, rate: float, seed: int, steps: int) -> float:
    model = network(data.features, data.classes, *NETS[name])
    batch = torch.as_tensor(data.x_train[:256], dtype=torch.float32).flatten(1)
    gs.initialize(model, start, batch=batch, seed=seed)
    curve = train(model, data, steps=steps, batch=64, learning_rate=rate, optimizer="adam", seed=seed, evaluations=1)
    return curve.evaluations[-1].accuracy or 0.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--steps", type=int, default=250)
    options.add_argument("--nets", nargs="*", default=list(NETS), choices=list(NETS))
    given = options.parse_args()
    data = load("digits", seed=0)
    print(
        f"Accuracy on validation digits after {given.steps} steps of Adam, at the best of {len(RATES)} rates: median, "
        f"smallest and largest of {given.seeds} seeds"
    )
    for name in given.nets:
        for start in STARTS:
            runs = {
                rate: [accuracy(data, name, start, rate, seed, given.steps) for seed in range(given.seeds)]
                for rate in RATES
            }
            rate = max(runs, key=lambda r: median(runs[r]))
            found = runs[rate]
            print(
                f"{name:12} {start:18} {median(found):.3f}  [{min(found):.3f}, {max(found):.3f}]  at {rate:g}",
                flush=True,
            )


if __name__ == "__main__":
    main()
