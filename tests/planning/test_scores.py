"""How wide attention scores are: one where the model divides by √d, and queries and keys make up for it elsewhere."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import gainstage as gs
from gainstage.backends.torch import trace
from gainstage.planning.scores import score_spreads

WIDTH, HEADS, TOKENS = 32, 4, 12
UNITS = WIDTH // HEADS


class Attention(nn.Module):
    """Scores come out of ``score``, which scales queries, keys or products in one way or another."""

    def __init__(self, score) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.score = score
        self.register_buffer("unknown", torch.tensor(2.0))

    def scores(self, x):
        q, k = (layer(x).unflatten(2, (HEADS, UNITS)).transpose(1, 2) for layer in (self.q, self.k))
        return self.score(self, q, k)

    def forward(self, x):
        v = self.v(x).unflatten(2, (HEADS, UNITS)).transpose(1, 2)
        mixed = self.scores(x).softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).flatten(2))


SCORES = {
    "divided": (lambda _, q, k: q @ k.mT / UNITS**0.5, 1.0),
    "not divided": (lambda _, q, k: q @ k.mT, UNITS**0.5),
    "queries scaled": (lambda _, q, k: (q * UNITS**-0.5) @ k.mT, 1.0),
    "both scaled, and a bias": (lambda _, q, k: (q * 0.5) @ (k * 0.5).mT + torch.eye(TOKENS), 0.25 * UNITS**0.5),
    "three times": (lambda _, q, k: 3 * (q @ k.mT), 3 * UNITS**0.5),
    "added to a mask": (
        lambda _, q, k: torch.baddbmm(
            torch.zeros(1, 1, 1), q.flatten(0, 1), k.mT.flatten(0, 1), alpha=0.5
        ).unflatten(0, (-1, HEADS)), 0.5 * UNITS**0.5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCORES)
def test_the_spread_of_scores_for_queries_and_keys_of_level_one(name):
    score, expected = SCORES[name]
    x = torch.randn(8, TOKENS, WIDTH)
    found = score_spreads(trace(Attention(score), x))
    assert list(found.values()) == pytest.approx([expected] * 2)


@pytest.mark.parametrize("name", SCORES)
def test_scores_start_with_a_spread_of_one_at_most(name):
    score, expected = SCORES[name]
    spreads = []
    for seed in range(20):
        model, x = Attention(score), torch.randn(8, TOKENS, WIDTH)
        plan = gs.initialize(model, "auto", x=x, seed=seed)
        with torch.no_grad():
            scores = model.scores(x)
        rows = scores - scores.mean(-1, keepdim=True)
        spreads.append(float(rows.square().mean()))
        level = next(a for a in plan if a.parameter == "q.weight").level
        assert level == pytest.approx(min(1, 1 / expected))
    assert math.sqrt(sum(spreads) / len(spreads)) == pytest.approx(min(1, expected), rel=0.15)


@pytest.mark.parametrize(
    ("factor", "level"), [(None, 1.0), (1.0, UNITS**-0.5), (1 / UNITS, 1.0)], ids=["usual", "none", "mup"]
)
def test_fused_attention(factor, level):
    class Fused(Attention):
        def forward(self, x):
            q, k, v = (layer(x).unflatten(2, (HEADS, UNITS)).transpose(1, 2) for layer in (self.q, self.k, self.v))
            return self.out(functional.scaled_dot_product_attention(q, k, v, scale=factor).transpose(1, 2).flatten(2))

    lines = {a.parameter: a for a in gs.plan(Fused(None), "auto", x=torch.randn(8, TOKENS, WIDTH))}
    assert lines["q.weight"].level == lines["k.weight"].level == pytest.approx(level)
    assert ("which the model leaves 2.83 times as wide" in lines["q.weight"].reason) == (factor == 1.0)


def test_nothing_is_said_where_a_trace_does_not_see_what_divides():
    def score(model, q, k):
        return q @ k.mT / model.unknown

    assert not score_spreads(trace(Attention(score), torch.randn(8, TOKENS, WIDTH)))
