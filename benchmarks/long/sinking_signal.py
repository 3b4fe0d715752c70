"""What a signal that sinks systematically costs: steps until a network leaves chance, every start at its best rate.

Plain relu networks of 4, 7 and 16 layers (the last one VGG16 with an eighth of its channels, on MNIST at 32 x 32) from
starts that lose a factor a layer, against the same networks at He's spread with a small head. Printed next to them is
how far the level falls from the input to what the output layer reads, in decades, and what a chain of L scalar weights
w, trained at its largest stable rate, would take in steps for a product that starts at P: P^-(1-2/L) / (2 (1-2/L)).
"""

from __future__ import annotations

import argparse
import math
from itertools import pairwise
from statistics import median

import torch
from torch import nn

import gainstage as gs
from gainstage.backends.torch.training.train import train
from gainstage.data import Dataset, load

RATES = {"momentum": (0.3, 0.1, 0.03, 0.01, 0.003), "adam": (1e-2, 3e-3, 1e-3, 3e-4)}
VGG16 = (8, 8, 0, 16, 16, 0, 32, 32, 32, 0, 64, 64, 64, 0, 64, 64, 64, 0)  # an eighth of its channels; 0 is a pooling


def perceptron(layers: int) -> nn.Sequential:
    sizes = [784, *[128] * (layers - 1), 10]
    parts = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b, bias=False), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *parts[:-1])


def vgg16() -> nn.Sequential:
    parts: list[nn.Module] = [nn.ZeroPad2d(2)]
    channels = 1
    for width in VGG16:
        parts += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
        channels = width or channels
    parts += [nn.Flatten(), nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)]
    return nn.Sequential(*parts)


NETS = {
    "4 layers": (lambda: perceptron(4), 4, "pytorch_default"),
    "7 layers": (lambda: perceptron(7), 7, "pytorch_default"),
    "16 layers": (lambda: perceptron(16), 16, "glorot_uniform"),
    "VGG16 / 8": (vgg16, 16, "glorot_uniform"),
}


def started(name: str, start: str, images: torch.Tensor, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    model = NETS[name][0]()
    head = "auto" if start == "he_normal" else start
    gs.initialize(model, start, x=images, seed=seed, overrides={f"{len(model) - 1}.*": head})
    return model


def arrives(model: nn.Sequential, images: torch.Tensor) -> float:
    """The level that the output layer reads over the level of the input."""
    with torch.no_grad():
        return float(model[:-1](images).square().mean().sqrt() / images.square().mean().sqrt())


def leaves(losses: tuple[float, ...], chance: float) -> float:
    """The first step at which the running mean of the loss is a tenth below chance."""
    mean = losses[0]
    for step, loss in enumerate(losses):
        mean += 0.1 * (loss - mean)
        if mean < 0.9 * chance:
            return step
    return math.inf


def best(name: str, start: str, optimizer: str, data: Dataset, seeds: int, steps: int) -> tuple[float, float, float]:
    """Steps on the plateau, accuracy at the end, and the rate, all at the rate with the best accuracy."""
    images = torch.from_numpy(data.x_train[:256])
    found = []
    for rate in RATES[optimizer]:
        curves = [
            train(started(name, start, images, seed), data, steps=steps, learning_rate=rate, optimizer=optimizer,
                  seed=seed, evaluations=1)
            for seed in range(seeds)
        ]  # fmt: skip
        right = median(c.final.accuracy or 0.0 for c in curves)
        plateau = median(leaves(c.losses, math.log(10)) for c in curves)
        found.append((right, -plateau, rate))
    right, plateau, rate = max(found)
    return -plateau, right, rate


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--steps", type=int, default=600)
    options.add_argument("--nets", nargs="*", default=list(NETS), choices=list(NETS))
    given = options.parse_args()
    data = load("mnist", seed=0).reshape(1, 28, 28)
    print("network    start             fall  scalar  optimizer   rate leaves at  right")
    for name in given.nets:
        for start in (NETS[name][2], "he_normal"):
            images = torch.from_numpy(data.x_train[:256])
            product = arrives(started(name, start, images, 0), images)
            power = 1 - 2 / NETS[name][1]
            scalar = max(product**-power - 1, 0.0) / (2 * power)
            for optimizer in RATES:
                plateau, right, rate = best(name, start, optimizer, data, given.seeds, given.steps)
                print(
                    f"{name:10} {start:16} {-math.log10(product):5.2f} {scalar:7.0f}  {optimizer:9} {rate:6g} "
                    f"{plateau:9.0f} {right:6.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
