"""Gradients at the borders of small images, where signals are smaller and functions that saturate are steeper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.backends.torch import record
from gainstage.propagation.expectation import Expectations, Marginal
from gainstage.propagation.function import Function
from gainstage.propagation.mixture import multiplied
from gainstage.theory import activation

SEEDS = 16
WIDTH = 64


def unit(inputs: int, outputs: int = WIDTH) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]


class Around(nn.Module):
    """f(x + branch)."""

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self.branch, self.function = nn.Sequential(*unit(WIDTH), function, *unit(WIDTH)), function

    def forward(self, x):
        return self.function(x + self.branch(x))


def net(function: type[nn.Module], around: bool) -> nn.Module:
    plain = [*unit(WIDTH), function(), *unit(WIDTH), function(), *unit(WIDTH), function()]
    units = [Around(function()), Around(function())] if around else plain
    return nn.Sequential(*unit(32), function(), *units, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTH, WIDTH))


@pytest.mark.parametrize("around", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize("function", [nn.ReLU, *(pytest.param(f, marks=pytest.mark.long) for f in (nn.Tanh, nn.GELU))])
def test_gradient_at_the_first_convolution(function, around):
    ratios = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model, x = net(function, around), torch.randn(8, 32, 8, 8)
        profile = record(model, x, seed=seed)
        first = next(n for n in profile.nodes if profile.node(n).operation.weighted)
        told = gs.predict(model, input_shape=tuple(x.shape))
        found = next(n for n in told.nodes if n.node == first.node)
        ratios.append(first.backward.second_moment / found.backward.second_moment)
    error = np.std(ratios, ddof=1) / np.sqrt(SEEDS)
    assert np.mean(ratios) == pytest.approx(1.0, abs=3 * error + 0.03)


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu", "sigmoid"])
@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_how_a_mean_square_answers_to_its_argument(name, mean):
    function, step = Function.of(activation(name)), 1e-4

    def level(mean, variance):
        return np.log(Expectations().of(function, Marginal(mean, variance)).second)

    found, grown = Expectations().of(function, Marginal(mean, 1.0)), np.exp(step / 2)
    wider = (level(mean, np.exp(step)) - level(mean, np.exp(-step))) / (2 * step)
    scaled = (level(mean * grown, np.exp(step)) - level(mean / grown, np.exp(-step))) / (2 * step)
    assert found.response == pytest.approx(wider, abs=1e-6)
    assert found.scaling == pytest.approx(scaled, abs=1e-6)


def test_two_profiles_that_fall_together():
    one, other = np.array([0.5, 1.0, 1.5]), np.array([0.7, 1.0, 1.3])
    mean, profile = multiplied(one, other)
    assert mean == pytest.approx((one * other).mean())
    assert (mean * profile).tolist() == pytest.approx((one * other).tolist())
    assert multiplied(None, other)[0] == 1.0
