"""Weights that sum to zero: over the inputs tap by tap, or over the outputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

import gainstage as gs
from gainstage import schemes
from gainstage.errors import InputError
from gainstage.graph import KernelShape
from gainstage.streams import Stream

KERNELS = {
    "dense": KernelShape(96, 64),
    "wide": KernelShape(32, 256),
    "two inputs": KernelShape(500, 2),
    "table": KernelShape(16, 1000),
    "convolution": KernelShape(48, 32, 9),
    "grouped": KernelShape(64, 48, 9, groups=4),
    "transposed": KernelShape(64, 48, 16, overlap=4),
}
SCHEMES = ("centred_normal", "centred_orthogonal", "centred_outputs")
CASES = [pytest.param(name, kernel, id=f"{name}-{label}") for name in SCHEMES for label, kernel in KERNELS.items()]


def draw(name, kernel, gain=1.0):
    return schemes.get(name).draw(kernel, gain, Stream(3, "layer.weight")).astype(np.float64)


def sums(name, kernel, weights):
    """Over what sums to zero."""
    if name == "centred_outputs":
        return weights.reshape(kernel.groups, -1, *weights.shape[1:]).sum(1)
    return weights.sum(1)


@pytest.mark.parametrize(("name", "kernel"), CASES)
def test_the_sums_are_zero(name, kernel):
    weights = draw(name, kernel)
    terms = kernel.size / sums(name, kernel, weights).size
    assert abs(sums(name, kernel, weights)).max() <= terms * 2**-23 * abs(weights).max()


@pytest.mark.parametrize(("name", "kernel"), CASES)
def test_the_spread_is_that_of_the_table(name, kernel):
    """Σw²/σ² of n values that sum to zero in groups of m is chi-squared with n (1 - 1/m) degrees; orthogonal ones
    scatter by the mean that is taken off alone: 1/m of the whole.
    """
    weights, spread = draw(name, kernel, 0.7), schemes.get(name).spread(kernel, 0.7)
    assert spread == pytest.approx(0.7 / math.sqrt(kernel.fan_in))
    free = kernel.size - sums(name, kernel, weights).size
    assert abs((weights**2).mean() / spread**2 - 1) <= 4.5 * math.sqrt(2 / free)
    # Every entry by itself is as wide as any other: no unit, input or tap is favoured.
    rows = (weights**2).sum((1, 2)) / spread**2 * free / kernel.size
    low, high = scipy.stats.chi2.ppf((1e-5 / kernel.out, 1 - 1e-5 / kernel.out), free / kernel.out)
    assert low <= rows.min()
    assert rows.max() <= high


@pytest.mark.parametrize("shape", [(40, 40), (30, 50), (50, 30)])
def test_centred_orthogonal_is_an_isometry_of_what_differs(shape):
    """W Wᵀ (or WᵀW on what sums to zero) is the identity but for one direction."""
    weights = draw("centred_orthogonal", KernelShape(*shape))[:, :, 0]
    values = np.linalg.svd(weights)[1]
    longest = math.sqrt(max(shape) / shape[1] / (1 - 1 / shape[1]))
    assert np.allclose(values[: min(shape) - 1], longest, rtol=1e-5)
    assert values[-1] < longest


@pytest.mark.parametrize(
    ("layer", "x"),
    [(nn.Linear(64, 48), torch.full((4, 64), 0.7)), (nn.Conv2d(8, 6, 3, padding=1), torch.full((2, 8, 6, 6), 0.7)),
     (nn.Conv1d(8, 6, 4, groups=2), torch.full((2, 8, 9), 0.7)),
     (nn.ConvTranspose2d(8, 6, 3, 2), torch.full((2, 8, 5, 5), 0.7)),
     (nn.ConvTranspose2d(8, 6, 4, 2, groups=2), torch.full((2, 8, 5, 5), 0.7))],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["centred_normal", "centred_orthogonal"])
def test_what_all_inputs_share_does_not_get_through(layer, x, scheme):
    """In real layers, also at borders and where a stride lets other taps meet."""
    gs.initialize(layer, scheme)
    largest = max(float(layer.weight.detach().abs().max()), 1e-30)
    assert float(layer(x).detach().abs().max()) <= 0.7 * layer.weight[0].numel() * 8 * 2**-23 * largest
    assert float(layer(torch.randn_like(x)).detach().std()) > 0.3


def test_a_table_has_no_mean_row():
    table = nn.Embedding(100, 16)
    gs.initialize(nn.Sequential(table, nn.Linear(16, 4)), "auto", x=torch.arange(100).reshape(10, 10))
    assert float(table.weight.detach().mean(0).abs().max()) < 1e-6
    assert float(table.weight.detach().std()) == pytest.approx(16**-0.5, rel=4.5 / math.sqrt(2 * 1600))


@pytest.mark.parametrize(
    ("name", "kernel", "what"),
    [("centred_normal", KernelShape(8, 8, 9, groups=8), "inputs"), ("centred_normal", KernelShape(8, 1), "inputs"),
     ("centred_orthogonal", KernelShape(8, 1, 9), "inputs"), ("centred_outputs", KernelShape(1, 8), "outputs")],
)  # fmt: skip
def test_one_value_cannot_sum_to_zero(name, kernel, what):
    with pytest.raises(InputError, match=f"Weights over 1 {what} cannot be centred.*Use 'normal'"):
        draw(name, kernel)
