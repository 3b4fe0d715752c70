"""Orthogonal against normal weights in wide plain networks: what the draw costs, and whether trainings differ.

    python benchmarks/long/wide_orthogonal.py --widths 256 1024 2048 --depth 8 --seeds 3

For every width a plain network is started twice from the same automatic plan: as it is (orthogonal), and with
every orthogonal weight drawn normal at the same standard deviation. Both are trained on the digits in the same order of
examples. Printed: seconds of the draw beside one training step, the final losses, and the mean of their paired
differences with its standard error.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from itertools import pairwise
from statistics import mean, stdev

import torch
from torch import nn

import gainstage as gs
from gainstage.data import load
from gainstage.records import Plan


def network(width: int, depth: int, activation: str) -> nn.Module:
    sizes = [64, *[width] * depth]
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), getattr(nn, activation)())]
    return nn.Sequential(*layers, nn.Linear(width, 10))


def as_normal(plan: Plan) -> Plan:
    """The same plan, every orthogonal weight drawn normal at the same standard deviation."""
    swapped = {"orthogonal": "normal", "centred_orthogonal": "centred_normal"}
    return replace(plan, assignments=tuple(replace(a, scheme=swapped.get(a.scheme, a.scheme)) for a in plan))


def train(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int, rate: float, seed: int
) -> tuple[float, float]:
    """The mean loss of the last tenth of the steps, and seconds a step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    order, losses = torch.Generator().manual_seed(seed), []
    start = time.process_time()
    for _ in range(steps):
        picked = torch.randint(len(x), (64,), generator=order)
        loss = nn.functional.cross_entropy(model(x[picked]), y[picked])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return mean(losses[-max(1, steps // 10) :]), (time.process_time() - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[256, 1024, 2048])
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--activation", default="Tanh")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=0.01)
    asked = parser.parse_args()
    data = load("digits", seed=0)
    x, y = torch.as_tensor(data.x_train).reshape(len(data.x_train), -1), torch.as_tensor(data.y_train)
    for width in asked.widths:
        found: dict[str, list[float]] = {"orthogonal": [], "normal": []}
        for seed in range(asked.seeds):
            model = network(width, asked.depth, asked.activation)
            plan = gs.plan(model, "auto", x=x[:64], seed=seed)
            for name, chosen in (("orthogonal", plan), ("normal", as_normal(plan))):
                start = time.process_time()
                gs.apply(model, chosen)
                drawn = time.process_time() - start
                loss, step = train(model, x, y, asked.steps, asked.rate, seed)
                found[name].append(loss)
                print(f"width {width}, seed {seed}, {name}: loss {loss:.4f}, draw {drawn:.2f} s, step {step:.3f} s")
        gaps = [a - b for a, b in zip(found["orthogonal"], found["normal"], strict=True)]
        error = stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else float("nan")
        print(f"depth {asked.depth}, width {width}: orthogonal - normal = {mean(gaps):+.4f} ± {error:.4f}")


if __name__ == "__main__":
    main()
