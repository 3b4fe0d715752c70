"""What a mask tells: which tokens there are (of the input alone), or also which come before which."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

import gainstage as gs
from gainstage.backends.torch import trace
from gainstage.graph import Operation
from zoo.levels import off_level

TOKENS, WIDTH, EXAMPLES = 12, 32, 16


def places():
    return torch.arange(TOKENS)


def causal():
    return places()[None, None, None, :] <= places()[None, None, :, None]


PADDING = {
    "of ones": lambda m, mask: mask[:, None, None, :] > 0,
    "of whole numbers": lambda m, mask: mask.long()[:, None, None, :].bool(),
    "spread over rows": lambda m, mask: (mask[:, None, None, :] > 0).expand(-1, 1, TOKENS, -1),
    "joined with places": lambda m, mask: (mask[:, None, None, :] > 0) & (places()[None, None, :, None] >= 0),
    "of lengths": lambda m, mask: places()[None, None, None, :] * 0 < mask.sum(1).long()[:, None, None, None],
}
ORDERED = {
    "a triangle": lambda m, mask: torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril(),
    "places compared": lambda m, mask: causal(),
    "joined with padding": lambda m, mask: causal() & (mask[:, None, None, :] > 0),
    "kept by the model": lambda m, mask: m.triangle,
    "kept, joined with padding": lambda m, mask: m.triangle & (mask[:, None, None, :] > 0),
}


class Masked(nn.Module):
    """Attention by hand (by filling or by adding), or fused."""

    def __init__(self, make, way):
        super().__init__()
        self.qkv, self.out, self.make, self.way = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH), make, way
        self.register_buffer("triangle", torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril())

    def forward(self, x, mask):
        q, k, v = (part.unflatten(2, (4, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        seen = self.make(self, mask)
        if self.way == "fused":
            seen = seen.expand(EXAMPLES, 1, TOKENS, TOKENS)
            return self.out(functional.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(2))
        scores = q @ k.mT / math.sqrt(WIDTH / 4)
        if self.way == "filled":
            scores = scores.masked_fill(~seen, -math.inf)
        else:
            scores = scores + torch.where(seen, 0.0, torch.finfo(scores.dtype).min)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def batch(seed=0):
    x = torch.randn(EXAMPLES, TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed))
    return x, torch.ones(EXAMPLES, TOKENS)


def ordered(graph):
    """Whether prediction will take it to be causal."""
    masks = [n for n in graph.nodes if n.operation in (Operation.MASK, Operation.OFFSET) and n.stage == "model"]
    fused = [n for n in graph.nodes if n.operation is Operation.ATTENTION]
    assert masks or fused
    return any(n.function != "padding" for n in masks) or any(dict(n.settings)["masked"] for n in fused)


@pytest.mark.parametrize("way", ["filled", "added", "fused"])
@pytest.mark.parametrize("name", [*PADDING, *ORDERED])
def test_masks_of_the_input_alone_are_told_from_others(name, way):
    make = {**PADDING, **ORDERED}[name]
    assert ordered(trace(Masked(make, way), batch())) == (name in ORDERED)


@pytest.mark.parametrize("way", ["filled", "added", "fused"])
def test_a_square_mask_that_is_handed_in_may_order(way):
    x, _ = batch()
    for mask in (torch.ones(TOKENS, TOKENS).tril(), torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril()):
        assert ordered(trace(Masked(lambda _, m: m.bool() & True, way), (x, mask)))


@pytest.mark.parametrize("name", ["of ones", "joined with places", "places compared"])
@pytest.mark.parametrize("way", ["added", "fused"])
def test_predicted_levels_hold_behind_it(name, way):
    model = Masked({**PADDING, **ORDERED}[name], way)
    plan = gs.plan(model, "auto", x=batch())
    found: dict[str, list[float]] = {"out.weight": []}
    for seed in range(20):
        gs.apply(model, replace(plan, seed=seed))
        with torch.no_grad():
            found["out.weight"].append(float(model(*batch(seed)).square().mean()))
    assert off_level(plan, found, 0.1) == {}
