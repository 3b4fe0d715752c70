"""Next to a mean over places: the taps of a channel add up with the gates that they themselves opened."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.backends.torch import record
from gainstage.propagation.expectation import Expectations, Marginal
from gainstage.propagation.function import Function
from gainstage.theory import activation

SEEDS = 40
CHANNELS = 64


@dataclass(frozen=True)
class Net:
    """A convolution over channels, one over places, batch norm behind both or none, and the mean over all places."""

    gate: type[nn.Module]
    kernel: int = 3
    stride: int = 1
    together: int = 1
    gaussian: bool = True
    normed: bool = True

    def build(self) -> nn.Module:
        first = nn.Conv2d(16, CHANNELS, 1, bias=False)
        groups = CHANNELS // self.together
        second = nn.Conv2d(
            CHANNELS, CHANNELS, self.kernel, self.stride, self.kernel // 2, groups=groups, bias=False
        )  # fmt: skip
        for layer in (first, second) if self.gaussian else ():
            nn.init.kaiming_normal_(layer.weight)
        norms = [nn.BatchNorm2d(CHANNELS) if self.normed else nn.Identity() for _ in range(2)]
        return nn.Sequential(
            first, norms[0], nn.ReLU(), second, norms[1], self.gate(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(CHANNELS, CHANNELS),
        )  # fmt: skip


NETS = {
    "relu": Net(nn.ReLU),
    "gelu, uniform": Net(nn.GELU, gaussian=False),
    "hardswish, 5 x 5": Net(nn.Hardswish, kernel=5),
    "relu, 5 x 5, every other": Net(nn.ReLU, kernel=5, stride=2),
    "relu, groups of four": Net(nn.ReLU, together=4),
    "tanh, which is no gate": Net(nn.Tanh),
    "relu, no norm": Net(nn.ReLU, normed=False),
    "relu, all channels": Net(nn.ReLU, together=CHANNELS),
}


QUICK = ("relu", "gelu, uniform")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.long) for n in NETS])
def test_gradient_in_front_of_a_depthwise_convolution(name):
    measured, predicted = [], []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        net, x = NETS[name].build(), torch.randn(8, 16, 10, 10)
        profile = record(net, x, seed=seed)
        first = next(node.node for node in profile.nodes if profile.node(node).operation.weighted)
        measured.append(next(n for n in profile.nodes if n.node == first).backward.second_moment)
        told = gs.predict(net, input_shape=tuple(x.shape)).nodes
        predicted.append(next(n for n in told if n.node == first).backward.second_moment)
    error = np.std(np.divide(measured, predicted), ddof=1) / np.sqrt(SEEDS)
    assert np.mean(np.divide(measured, predicted)) == pytest.approx(1.0, abs=3 * error + 0.02)


@pytest.mark.parametrize("name", ["tanh", "gelu", "softplus"])
@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.3])
def test_how_a_pair_answers_to_its_correlation(name, correlation):
    found, step = Expectations().of(Function.of(activation(name)), Marginal(0.1, 0.8)), 1e-4
    slope = (found.pair(correlation + step) - found.pair(correlation - step)) / (2 * step)
    assert found.steepness(correlation) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("name", ["tanh", "gelu", "softplus"])
@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.3])
def test_how_a_pair_answers_to_one_of_both_variances(name, correlation):
    """E f''(u) f(v) is twice that; here by a sum over a grid, with the second derivative by differences."""
    function, variance, step = Function.of(activation(name)), 0.8, 1e-3
    z, weight = np.polynomial.hermite_e.hermegauss(80)
    u = np.sqrt(variance) * z[:, None]
    v = np.sqrt(variance) * (correlation * z[:, None] + np.sqrt(1 - correlation**2) * z[None, :])
    bent = (function.value(u + step) - 2 * function.value(u) + function.value(u - step)) / step**2
    exact = float((weight[:, None] * weight * bent * function.value(v)).sum() / weight.sum() ** 2)
    assert Expectations().of(function, Marginal(0.0, variance)).bend(correlation) == pytest.approx(
        exact * variance, abs=1e-4
    )
