"""Tails behind batch norm: observations of unlike level make them heavy, channels of unlike spread light."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from gainstage.backends.torch.measuring.prediction_inputs import weight_moments
from gainstage.backends.torch.tracing.trace import trace
from gainstage.propagation.expectation import Expectations, Marginal
from gainstage.propagation.finite_width import Deviation, FiniteWidth
from gainstage.propagation.forward import forward
from gainstage.propagation.forward_pass import ForwardPass
from gainstage.propagation.function import Function
from gainstage.theory import activation

SEEDS = 8


def unit(inputs: int, outputs: int, kernel: int = 3, groups: int = 1) -> list[nn.Module]:
    one = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return [one, nn.BatchNorm2d(outputs)]


NETS = {
    "one channel, each place by itself": lambda: [*unit(1, 128), nn.ReLU(), *unit(128, 128, 1)],
    "one channel, places gathered": lambda: [*unit(1, 128), nn.ReLU(), *unit(128, 128)],
    "three channels": lambda: [*unit(3, 128), nn.ReLU(), *unit(128, 128, 1), nn.Tanh(), *unit(128, 128)],
    "each channel by itself": lambda: [*unit(3, 128), nn.ReLU6(), *unit(128, 128, 3, 128)],
    "many channels": lambda: [*unit(64, 64, 1), nn.ReLU(), *unit(64, 64, 1)],
}


def drawn(build, seed: int, gaussian: bool) -> tuple[nn.Sequential, torch.Tensor]:
    torch.manual_seed(seed)
    net = nn.Sequential(*build())
    for layer in net:
        if gaussian and isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight)
    return net, torch.randn(6, net[0].in_channels, 16, 16)


@pytest.mark.parametrize("gaussian", [True, False], ids=["gaussian", "uniform"])
@pytest.mark.parametrize("name", NETS)
def test_kurtosis_behind_batch_norm(name, gaussian):
    measured = []
    for seed in range(SEEDS):
        net, x = drawn(NETS[name], seed, gaussian)
        with torch.no_grad():
            measured.append(float((net(x) ** 4).mean()))
    graph = trace(net, x)
    found = forward(ForwardPass(graph, weight_moments(net, graph))).signals[graph.outputs[0]]
    error = np.std(measured, ddof=1) / np.sqrt(SEEDS)
    # What is told of it is its first order: of what lies beyond a Gaussian's, a fifth may be missed.
    beyond = abs(np.mean(measured) - 3)
    assert 3 + found.excess == pytest.approx(np.mean(measured), abs=4 * error + 0.2 * beyond + 0.02)


@pytest.mark.parametrize("name", ["relu", "relu6", "tanh", "gelu", "sigmoid"])
@pytest.mark.parametrize("mean", [0.0, 0.4])
def test_how_a_squared_mean_answers_to_the_variance(name, mean):
    function, step = Function.of(activation(name)), 1e-4

    def squared(variance):
        return Expectations().of(function, Marginal(mean, variance)).mean ** 2

    slope = (squared(np.exp(step)) - squared(np.exp(-step))) / (2 * step)
    assert Expectations().of(function, Marginal(mean, 1.0)).lifting == pytest.approx(slope, abs=1e-6)


def test_what_is_averaged_over_two_windows_adds_up_as_fields_do():
    """Noise under two bell-shaped windows, put together."""
    widths, rng = (4.0, 10.0), np.random.default_rng(0)
    places = np.arange(64) - 32
    square = places[:, None] ** 2 + places[None, :] ** 2
    bells = [np.exp(-square / (2 * w)) for w in widths]
    bells = [np.fft.rfft2(bell / bell.sum()) for bell in bells]
    noise = np.fft.rfft2(rng.standard_normal((400, 64, 64)))
    field = np.fft.irfft2(noise * (0.3 * bells[0] + 0.7 * bells[1]))
    one, other = (FiniteWidth((Deviation(1, 1.0, 1.0, w),), axes=2) for w in widths)
    both = one.summed_with(other, 0.3)
    assert both.correlation_variance == pytest.approx(field.var(), rel=0.04)
    assert both.total_square_variance == pytest.approx(field.var(), rel=0.04)


def test_a_sum_of_halves_of_one_is_that_one():
    one = FiniteWidth((Deviation(1, 0.3, 0.5, 1.5), Deviation(2, 0.1)), axes=2)
    assert one.summed_with(one, 0.5).correlation_variance == pytest.approx(one.correlation_variance)
    other = replace(one, deviations=(Deviation(3, 0.3),))
    assert one.summed_with(other, 0.5).correlation_variance == pytest.approx(
        one.correlation_variance / 4 + other.correlation_variance / 4
    )


@pytest.mark.parametrize("kernel", [2, 3])
def test_means_of_gaussian_numbers_are_gaussian(kernel):
    """Squares scatter twice as much as products, before and behind a mean over independent places."""
    start = FiniteWidth((Deviation(1, 0.01, 0.02),), axes=2)
    found = start.averaged([kernel, kernel], [kernel, kernel], float(kernel**2))
    assert found.total_square_variance == pytest.approx(2 * found.correlation_variance, rel=0.03)
