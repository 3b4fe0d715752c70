"""Distributions of values are taken from a sample: against all values, within the sampling error."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gainstage.backends.torch.measuring.moments import histogram_of, look_at
from gainstage.backends.torch.measuring.record import record
from gainstage.graph import Operation
from gainstage.records import Histogram


def taken(values: torch.Tensor) -> Histogram | None:
    return histogram_of(look_at(values, values.shape[0], values[0].numel()))


@pytest.mark.parametrize("shape", [(64, 10), (32, 64, 8, 8), (7, 1023), (128, 4096)])
@pytest.mark.parametrize(
    "draw", [torch.randn, torch.rand, lambda *s: torch.randn(*s).exp()], ids=["normal", "uniform", "skewed"]
)
def test_shares_are_those_of_all_values(shape, draw):
    torch.manual_seed(0)
    values = draw(*shape)
    found = taken(values)
    assert found is not None
    flat = values.double().numpy().ravel()
    low, high = max(flat.mean() - 4 * flat.std(), flat.min()), min(flat.mean() + 4 * flat.std(), flat.max())
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-4, abs=1e-5)
    everything = np.histogram(
        np.clip(flat, found.low, found.high), bins=len(found.counts), range=(found.low, found.high)
    )[0]
    shares, expected = np.array(found.counts) / found.sampled, everything / flat.size
    # Five standard errors of a binomial share, and one value that rounding puts into the next bin.
    error = 5 * np.sqrt(expected * (1 - expected) / found.sampled) + 2 / found.sampled
    assert (np.abs(shares - expected) <= error).all()
    assert 4096 / 2 <= found.sampled <= 2 * 4096 or found.sampled == flat.size


@pytest.mark.parametrize("units", [2, 3, 64, 96, 100, 512])
def test_every_unit_takes_part(units):
    """One unit in so many is far from the others: its share of the sample is its share of the values."""
    values = torch.zeros(256, units, 8) + torch.rand(256, units, 8)
    values[:, 0] += 100
    found = taken(values)
    assert found is not None
    share = found.counts[-1] / found.sampled
    assert share == pytest.approx(1 / units, abs=5 * math.sqrt(1 / units / found.sampled) + 1e-9)


def test_odd_tensors():
    assert taken(torch.full((4, 8), 3.0)) == Histogram(3.0, 3.0, (32,))
    assert taken(torch.zeros(4, 8)) == Histogram(0.0, 0.0, (32,))
    for odd in (math.nan, math.inf, -math.inf):
        values = torch.randn(4, 8)
        values[1, 2] = odd
        assert taken(values) is None
    tiny = taken(torch.randn(64, 64) * 1e-30)
    assert tiny is not None
    assert tiny.sampled == 4096


def test_weighted_layers_have_one_and_lean_profiles_none():
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 5))
    x = torch.randn(16, 20)
    profile = record(model, x)
    for measured in profile.nodes:
        assert (measured.histogram is not None) == (profile.node(measured).operation is Operation.LINEAR)
    assert all(measured.histogram is None for measured in record(model, x, detail="lean").nodes)
