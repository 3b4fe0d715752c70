"""The plan without data: the mean over draws of every weight's output is at the level that was aimed at."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

import gainstage as gs
from gainstage.backends.torch import record
from zoo.architectures import ARCHITECTURES
from zoo.levels import drawn_levels, off_level

DRAWS, TOLERANCE = 20, 0.05
NAMED = {case.name: case for case in ARCHITECTURES}
NETS = (
    "ReLU 10", "Tanh 30", "Sigmoid 10", "GELU 10", "residual mlp", "resnet", "resnet, no norms", "vgg", "vgg, no norms",
    "mobilenet", "mobilenet, no norms", "densenet", "densenet, no norms", "u-net", "mixer", "convnext, 3 blocks",
    "transformer, pre-norm", "transformer, post-norm", "hf:llama", "hf:bert, no norms", "hf:mobilenet, no norms",
)  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_the_mean_over_draws_is_at_the_level(name):
    """Within three standard errors of the mean, or 5 %, which a wrong rule exceeds layer by layer."""
    case = NAMED[name]
    model = case.model(0)
    empty = torch.utils._pytree.tree_map(torch.zeros_like, case.batch(0))
    plan = gs.plan(model, "auto", x=empty)
    found = drawn_levels(model, plan, case.batch, DRAWS)
    # PyTorch's attention hands its weights to one function: no module that could be listened to.
    inside = sum(2 for module in model.modules() if isinstance(module, nn.MultiheadAttention))
    assert len(found) == sum(line.level is not None for line in plan) - inside
    assert off_level(plan, found, TOLERANCE) == {}


class WithoutBiases(nn.Module):
    """What no bias can centre: tokens, and a stream of convolutions behind gelus."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.tokens, self.blocks = nn.Embedding(30, width), 4

        def mixing(kernel: int) -> nn.ModuleList:
            return nn.ModuleList(
                nn.Conv1d(width, width, kernel, padding=kernel // 2, bias=False) for _ in range(self.blocks)
            )

        self.up, self.down = mixing(3), mixing(3)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.tokens(x).transpose(1, 2)
        for up, down in zip(self.up, self.down, strict=True):
            x = x + down(functional.gelu(up(x)))
        return self.head(x.mean(2))


def test_weights_that_sum_to_zero_hold_their_level_and_keep_examples_apart():
    """Tap by tap, so at borders too; measured against the same plan with plain weights."""

    def batch(seed):
        return torch.randint(0, 30, (64, 12), generator=torch.Generator().manual_seed(seed))

    model = WithoutBiases()
    plan = gs.plan(model, "auto", x=batch(0))
    assert {line.scheme for line in plan if line.parameter.startswith("down")} == {"centred_normal"}
    assert off_level(plan, drawn_levels(model, plan, batch, DRAWS), TOLERANCE) == {}
    predicted = gs.predict(model, batch(0), plan=plan)
    profile = record(initialized(model, plan), batch(0))
    for index, expected in predicted.by_node.items():
        share = expected.forward.example_share
        if share is not None and index in profile.by_node:
            assert profile.by_node[index].forward.example_share == pytest.approx(share, abs=0.05), index
    plain = tuple(replace(line, scheme=line.scheme.replace("centred_", "")) for line in plan)
    before = record(initialized(model, replace(plan, assignments=plain)), batch(0))
    ends = [n.index for n in profile.graph.nodes if n.path.startswith("down")]
    shares = [[p.by_node[index].forward.example_share for index in ends] for p in (before, profile)]
    assert all(centred > 0.95 > plain for plain, centred in zip(*shares, strict=True))


def initialized(model, plan):
    gs.apply(model, plan)
    return model


def test_zero_padding_is_counted_and_told():
    """Of the terms of a 3 × 3 convolution over an 8 × 8 image, (22 / 24)² lie inside."""
    case = NAMED["vgg, no norms"]
    lines = {line.parameter: line for line in gs.plan(case.model(0), "auto", x=case.batch(0))}
    first = lines["features.0.weight"]
    assert first.spread == pytest.approx(1 / 3 / (22 / 24))
    assert "counting borders, pooling, averages and sums, E[x²] = 0.8403 arrives" in first.reason


def test_what_prediction_assumes_is_told():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(16, 16), nn.Linear(16, 4)

        def forward(self, x):
            return self.last(self.first(x).cumsum(1))

    lines = {line.parameter: line for line in gs.plan(Odd(), "auto", x=torch.randn(8, 16))}
    assert "assumed" not in lines["first.weight"].reason
    assert "assumed: cumsum: no rule for 'cumsum'" in lines["last.weight"].reason


def test_a_plan_of_a_model_without_memory_is_the_same():
    case = NAMED["resnet, no norms"]
    with torch.device("meta"):
        empty = case.build()
    assert gs.plan(empty, "auto", x=case.batch(0)) == gs.plan(case.model(0), "auto", x=case.batch(0))


def test_values_that_the_plan_keeps_count():
    """A frozen first layer a hundred times too large is reckoned with."""
    model = nn.Sequential(nn.Linear(32, 32, bias=False), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    model[0].weight.requires_grad_(False).normal_().mul_(100 / 32**0.5)
    lines = {line.parameter: line for line in gs.plan(model, "auto", x=torch.randn(64, 32))}
    power = 100**2 / 2  # of the second layer's inputs
    assert lines["2.weight"].spread == pytest.approx((1 / (32 * power)) ** 0.5, rel=0.1)
