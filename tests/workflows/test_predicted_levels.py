"""The plan without data: the mean over draws of every weight's output is at the level that was aimed at."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gainstage as gs
from zoo.architectures import ARCHITECTURES
from zoo.levels import drawn_levels, off_level

DRAWS, TOLERANCE = 20, 0.05
NAMED = {case.name: case for case in ARCHITECTURES}
NETS = (
    "ReLU 10", "Tanh 30", "Sigmoid 10", "GELU 10", "residual mlp", "resnet", "resnet, no norms", "vgg", "vgg, no norms",
    "mobilenet", "mobilenet, no norms", "densenet", "densenet, no norms", "u-net", "mixer", "convnext, 3 blocks",
    "transformer, pre-norm", "transformer, post-norm",
)  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_the_mean_over_draws_is_at_the_level(name):
    """Within three standard errors of the mean, or 5 %, which a wrong rule exceeds layer by layer."""
    case = NAMED[name]
    model = case.model(0)
    plan = gs.plan(model, batch=torch.empty_like(case.batch(0)))
    found = drawn_levels(model, plan, case.batch, DRAWS)
    # PyTorch's attention hands its weights to one function: no module that could be listened to.
    inside = sum(2 for module in model.modules() if isinstance(module, nn.MultiheadAttention))
    assert len(found) == sum(line.level is not None for line in plan) - inside
    assert off_level(plan, found, TOLERANCE) == {}


def test_zero_padding_is_counted_and_told():
    """Of the terms of a 3 × 3 convolution over an 8 × 8 image, (22 / 24)² lie inside."""
    case = NAMED["vgg, no norms"]
    lines = {line.parameter: line for line in gs.plan(case.model(0), batch=case.batch(0))}
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

    lines = {line.parameter: line for line in gs.plan(Odd(), batch=torch.randn(8, 16))}
    assert "assumed" not in lines["first.weight"].reason
    assert "assumed: cumsum: no rule for 'cumsum'" in lines["last.weight"].reason


def test_a_plan_of_a_model_without_memory_is_the_same():
    case = NAMED["resnet, no norms"]
    with torch.device("meta"):
        empty = case.build()
    assert gs.plan(empty, batch=case.batch(0)) == gs.plan(case.model(0), batch=case.batch(0))


def test_values_that_the_plan_keeps_count():
    """A frozen first layer a hundred times too large is reckoned with."""
    model = nn.Sequential(nn.Linear(32, 32, bias=False), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    model[0].weight.requires_grad_(False).normal_().mul_(100 / 32**0.5)
    lines = {line.parameter: line for line in gs.plan(model, batch=torch.randn(64, 32))}
    power = 100**2 / 2  # of the second layer's inputs
    assert lines["2.weight"].spread == pytest.approx((1 / (32 * power)) ** 0.5, rel=0.1)
