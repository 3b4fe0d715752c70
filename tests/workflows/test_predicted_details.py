"""Predicted against measured where a rule is easily wrong: lengths, largest places, changed scales, other sequences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gainstage as gs
from gainstage.backends.torch import record

DRAWS, EXAMPLES = 12, 48


class Wired(nn.Module):
    """Layers, and what to do with them."""

    def __init__(self, run: Callable[..., torch.Tensor], **layers: Any) -> None:
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *x):
        return self.run(self, *x)


def normal(*shape: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.randn(EXAMPLES, *shape)


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(EXAMPLES, 6, 64), torch.randn(EXAMPLES, 40, 64)


def cosine(m, x):
    return functional.normalize(m.a(x), dim=-1) @ functional.normalize(m.b(x), dim=-1).T


def crossed(m, x, y):
    return m.out(m.attention(x, y, y, need_weights=m.written)[0])


def attention(written: bool) -> nn.Module:
    layer = nn.MultiheadAttention(64, 4, batch_first=True)
    return Wired(crossed, attention=layer, out=nn.Linear(64, 64), written=written)


def stacked(cells: type[nn.RNNBase], depth: int, averaged: bool) -> nn.Module:
    def run(m, x):
        h = m.cells(m.a(x))[0]
        return m.out(h.mean(1) if averaged else h)

    layer = cells(64, 128, depth, batch_first=True, bidirectional=not averaged)
    return Wired(run, a=nn.Linear(64, 64), cells=layer, out=nn.Linear(128 if averaged else 256, 64))


CASES = {
    "unit length": (
        lambda: Wired(lambda m, x: m.out(functional.normalize(m.a(x), dim=-1)), a=nn.Linear(32, 256),
                      out=nn.Linear(256, 64, bias=False)), normal(32)),
    "cosine": (lambda: Wired(cosine, a=nn.Linear(32, 256), b=nn.Linear(32, 256)), normal(32)),
    "largest place": (
        lambda: Wired(lambda m, x: m.out(m.a(x).amax(1)), a=nn.Linear(64, 128, bias=False),
                      out=nn.Linear(128, 256, bias=False)), normal(20, 64)),
    "largest place behind relu": (
        lambda: Wired(lambda m, x: m.out(torch.relu(m.a(x)).amax(1)), a=nn.Linear(64, 128, bias=False),
                      out=nn.Linear(128, 256, bias=False)), normal(20, 64)),
    "exponential of a scale": (
        lambda: Wired(lambda m, x: m.out(m.a(x) * m.scale.exp()), a=nn.Linear(64, 128), scale=nn.Parameter(
            torch.full((128,), 0.7)), out=nn.Linear(128, 64)), normal(64)),
    "softplus of a scale": (
        lambda: Wired(lambda m, x: m.out(m.a(x) * functional.softplus(m.scale)), a=nn.Linear(64, 128),
                      scale=nn.Parameter(torch.randn(128)), out=nn.Linear(128, 64)), normal(64)),
    "another sequence, written out": (lambda: attention(True), pair),
    "another sequence, fused": (lambda: attention(False), pair),
    "rows before a gru": (
        lambda: Wired(lambda m, x: m.out(m.cells(m.rows(x))[0]), rows=nn.Embedding(200, 64),
                      cells=nn.GRU(64, 128, batch_first=True), out=nn.Linear(128, 64)),
        lambda: torch.randint(200, (EXAMPLES, 10))),
    "two layers in both directions": (lambda: stacked(nn.LSTM, 2, False), normal(12, 64)),
    "two layers of gru, averaged": (lambda: stacked(nn.GRU, 2, True), normal(12, 64)),
    "three layers, averaged over time": (lambda: stacked(nn.LSTM, 3, True), normal(12, 64)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_prediction_is_what_is_measured_on_average(name: str) -> None:
    build, inputs = CASES[name]
    found: dict[tuple[str, str], list[float]] = {}
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        model, x = build(), inputs()
        measured, predicted = record(model, x, seed=seed), gs.predict(model, x)
        for node in measured.nodes:
            told = predicted.by_node.get(node.node)
            if not measured.graph.nodes[node.node].operation.weighted or told is None:
                continue
            label = measured.graph.nodes[node.node].label
            assert not told.doubt
            found.setdefault((label, "forward"), []).append(told.forward.second_moment / node.forward.second_moment)
            ratio = told.backward.second_moment / node.backward.second_moment
            found.setdefault((label, "backward"), []).append(ratio)
    for place, ratios in found.items():
        error = np.std(ratios, ddof=1) / math.sqrt(DRAWS)
        assert abs(np.mean(ratios) - 1) < 4 * error + 0.06, (place, np.mean(ratios), error)


def test_what_comes_back_through_a_doubt_is_doubtful() -> None:
    model = Wired(lambda m, x: m.out(torch.cdist(m.a(x), m.centres)), a=nn.Linear(8, 16), out=nn.Linear(5, 3),
                  centres=nn.Parameter(torch.randn(5, 16)))  # fmt: skip
    profile = gs.predict(model, torch.randn(32, 8))
    first = next(n for n in profile.nodes if profile.graph.nodes[n.node].path == "a")
    assert "comes back through what is doubtful" in first.doubt
