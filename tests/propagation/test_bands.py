"""Bands: how far single draws of weights and batch scatter, against as many real draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gainstage as gs
from gainstage.backends.torch import record

DRAWS = 40


class Gated(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm, self.gate, self.up = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        self.down = nn.Linear(width, width)

    def forward(self, x):
        y = self.norm(x)
        return x + 3 * self.down(functional.silu(3 * self.gate(y)) * self.up(y))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.LSTM(64, 128, batch_first=True), nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.cell(x)[0])


def chain() -> nn.Module:
    return nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 128))


def streams() -> nn.Module:
    return nn.Sequential(nn.Linear(128, 128), *(Gated(128) for _ in range(3)), nn.LayerNorm(128), nn.Linear(128, 10))


CASES = {"a chain": (chain, (16, 128)), "gated streams": (streams, (16, 128)), "an LSTM": (Recurrent, (8, 12, 64))}


@pytest.mark.parametrize("name", [n if n != "an LSTM" else pytest.param(n, marks=pytest.mark.long) for n in CASES])
def test_a_band_holds_most_single_draws(name):
    build, shape = CASES[name]
    inside: dict[str, list[float]] = {"forward": [], "backward": []}
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        model = build()
        predicted = gs.predict(model, input_shape=shape)
        profile = record(model, torch.randn(shape), seed=seed)
        for node in profile.nodes:
            if not profile.node(node).operation.weighted:
                continue
            for way, levels in inside.items():
                told, found = getattr(predicted.by_node[node.node], way), getattr(node, way)
                if found is None or told.band[1] - told.band[0] < 1e-9:
                    continue
                low, high = (told.second_moment * end for end in told.band)
                levels.append(float(low <= found.second_moment <= high))
    for way, levels in inside.items():
        share = float(np.mean(levels))
        # Nodes of one draw scatter together, so that draws count, not nodes.
        error = 3 * math.sqrt(0.9 * 0.1 / DRAWS)
        assert 0.9 - error <= share <= 1.0, f"{way}: {share:.0%}"
