"""One training, and the store of those that ended."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

import gainstage as gs
from transfer.networks import Kind

__all__ = ["Trained", "train"]

PARAMETRISATIONS = ("standard", "mup")


@dataclass(frozen=True, slots=True)
class Trained:
    """The loss of every training that ended, one JSON line each."""

    file: Path

    def losses(self) -> dict[str, float]:
        """All of them by their key."""
        if not self.file.exists():
            return {}
        lines = (json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines())
        return {one["key"]: one["loss"] for one in lines}

    def add(self, key: str, loss: float) -> None:
        """Append one."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "loss": loss if math.isfinite(loss) else 1e9}) + "\n")


def train(kind: Kind, parametrisation: str, width: int, rate: float, steps: int, seed: int) -> float:
    """Train with Adam; return the mean loss of the last tenth of the steps.

    Both parametrisations start from 1/√fan_in. The standard one has one rate; muP divides the output's spread and the
    rates of hidden and output weights by the width, relative to the small model, which is the same in both.
    """
    torch.manual_seed(seed)
    model = kind.build(width)
    x, _ = kind.batch(kind.examples, seed)
    gs.initialize(model, "lecun_normal" if parametrisation == "standard" else "mup", x=x, seed=seed)
    if parametrisation == "standard":
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    else:
        optimizer = torch.optim.Adam(gs.parameter_groups(model, x, learning_rate=rate, base_width=kind.width))
    found = []
    for step in range(steps):
        x, y = kind.batch(kind.examples, 1000 * seed + step)
        output = model(x)
        loss = F.cross_entropy(output.flatten(0, -2), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
        if not math.isfinite(found[-1]):
            return math.inf
    last = found[-max(steps // 10, 1) :]
    return sum(last) / len(last)
