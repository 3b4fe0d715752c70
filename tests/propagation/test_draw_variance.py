"""Scatter between draws: its algebra, and whole streams against as many real draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import gainstage as gs
from gainstage.backends.torch import record
from gainstage.propagation.draw_variance import NO_VARIANCE

DRAWS = 60


def test_causes_add_up_with_their_sign():
    generator = np.random.default_rng(0)
    causes = generator.standard_normal((3, 200_000)) * np.array([[0.2], [0.1], [0.3]])
    one, two, three = (NO_VARIANCE.with_cause(number, spread**2) for number, spread in enumerate((0.2, 0.1, 0.3)))
    logs = causes[0] + 0.5 * (causes[1] - causes[0]) - 2 * causes[2]
    found = one + (two - one) * 0.5 - three * 2.0
    assert found.variance == pytest.approx(logs.var(), rel=0.02)
    assert (one - one).variance == 0.0
    assert (NO_VARIANCE * 3.0).variance == 0.0
    assert (one * 0.0 + two).variance == pytest.approx(two.variance)


def test_many_causes_are_those_of_a_plain_vector():
    """Sums, differences and multiples of a few streams, over several blocks of causes, against whole vectors."""
    generator, count = np.random.default_rng(1), 600
    vectors = [np.zeros(count) for _ in range(6)]
    records = [NO_VARIANCE for _ in vectors]
    for cause in range(count):
        one, other, kept = generator.integers(0, len(vectors), 3)
        a, b = generator.uniform(-0.7, 0.7, 2)
        spread = generator.uniform(0.1, 1)
        vectors[kept] = a * vectors[one] + b * vectors[other]
        vectors[kept][cause] += spread
        records[kept] = (records[one] * a + records[other] * b).with_cause(cause, spread**2)
        assert records[kept].variance == pytest.approx(vectors[kept] @ vectors[kept], rel=1e-9)
    between = records[0] - records[1]
    assert between.variance == pytest.approx((vectors[0] - vectors[1]) @ (vectors[0] - vectors[1]), rel=1e-9)


def test_less_variance_leaves_the_proportions():
    noise = NO_VARIANCE.with_cause(0, 0.3) + NO_VARIANCE.with_cause(1, 0.1)
    assert noise.reduced_by(0.1).variance == pytest.approx(0.3)
    assert noise.reduced_by(1.0).variance == 0.0
    assert (noise.reduced_by(0.1) - noise * math.sqrt(0.75)).variance == pytest.approx(0.0)


class Block(nn.Module):
    """Attention and a gated layer, each behind a norm, on a stream."""

    def __init__(self, width: int, *, causal: bool):
        super().__init__()
        self.causal = causal
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.gate, self.up = nn.Linear(width, 2 * width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.down = nn.Linear(2 * width, width, bias=False)
        for layer in (self.qkv, self.out, self.gate, self.up, self.down):
            nn.init.normal_(layer.weight, 0, layer.in_features**-0.5)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (2, -1)).transpose(1, 2) for t in self.qkv(self.norms[0](x)).chunk(3, -1))
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        y = self.norms[1](x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))


@pytest.mark.parametrize("causal", [True, False])
def test_streams_scatter_as_told(causal):
    def build() -> nn.Module:
        blocks = (Block(64, causal=causal) for _ in range(2))
        return nn.Sequential(nn.Embedding(200, 64), *blocks, nn.RMSNorm(64), nn.Linear(64, 50))

    found: dict[tuple[int, str], list[float]] = {}
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        model, tokens = build(), torch.randint(200, (4, 16))
        for node in record(model, tokens, seed=seed).nodes:
            for way in ("forward", "backward"):
                if (moments := getattr(node, way)) is not None:
                    found.setdefault((node.node, way), []).append(math.log(moments.second_moment))
    profile = gs.predict(build(), tokens)
    ratios: dict[str, list[float]] = {"forward": [], "backward": []}
    for (index, way), logs in found.items():
        if not profile.graph.nodes[index].operation.weighted:
            continue
        low, high = getattr(profile.by_node[index], way).band
        told = math.log(high / low) / 2 / 1.6448536269514722
        if told > 1e-6:
            ratios[way].append(float(np.std(logs, ddof=1)) / told)
    for way, each in ratios.items():
        typical = math.exp(float(np.mean(np.log(each))))
        # The spread of so many draws is known to 9 %, that of all nodes no better, since they scatter together.
        assert 0.85 < typical < 1.15, f"{way}: {typical:.2f}"
        assert max(max(each), 1 / min(each)) < 1.5, f"{way}: {min(each):.2f} to {max(each):.2f}"
