"""Functions written out by hand are recognised by their values."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gainstage.backends.torch import trace
from gainstage.graph import Node, Operation
from gainstage.planning import plan
from gainstage.propagation.composed import Functions
from gainstage.theory import gaussian_moments

WRITTEN_OUT = {
    "gelu_tanh": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3)))),
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "silu": lambda x: x * torch.sigmoid(x),
    "mish": lambda x: x * torch.tanh(functional.softplus(x)),
    "relu_squared": lambda x: torch.relu(x).square(),
    "hardswish": lambda x: x * functional.relu6(x + 3) / 6,
    "softsign": lambda x: x / (1 + x.abs()),
}
OF_ITS_OWN = {
    "a wave": lambda x: x * torch.sin(2 * x),
    "a cube": lambda x: torch.tanh(x) ** 3,
    "twice": lambda x: 2 * torch.tanh(x) - 0.5,
    "a square": lambda x: x * x,
    "nested": lambda x: x * torch.sigmoid(x) * torch.tanh(x),
}


class Net(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.first, self.last, self.function = nn.Linear(16, 16), nn.Linear(16, 4), function

    def forward(self, x):
        return self.last(self.function(self.first(x)))


def power_read_by_the_head(function) -> tuple[float, float, str]:
    """E x² of what the last weight reads, by the spread that the plan gives it, and the level it comes from."""
    planned = {a.parameter: a for a in plan(trace(Net(function), torch.ones(4, 16)))}
    head = planned["last.weight"]
    return head.level / (head.spread**2 * 16), planned["first.weight"].level, head.reason


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_written_out_functions_have_their_names(name):
    power, level, reason = power_read_by_the_head(WRITTEN_OUT[name])
    assert power == pytest.approx(gaussian_moments(name, level).second_moment, rel=1e-5)
    assert f"reads {name}" in reason


@pytest.mark.parametrize("name", OF_ITS_OWN)
def test_functions_of_their_own_have_their_own_moments(name):
    power, level, _ = power_read_by_the_head(OF_ITS_OWN[name])
    z = torch.from_numpy(np.random.default_rng(0).normal(scale=math.sqrt(level), size=2_000_000))
    squares = OF_ITS_OWN[name](z).square()
    error = float(squares.std()) / math.sqrt(len(z))
    assert abs(power - float(squares.mean())) < 5 * error


def test_a_scaling_by_one_number_counts():
    power, _, _ = power_read_by_the_head(lambda x: torch.relu(x) / 8)
    assert power == pytest.approx(0.5 / 64)


@pytest.mark.parametrize(
    "function",
    [lambda x: torch.where(x > 0, x, 0.1 * x * x), lambda x: x * torch.tanh(x * torch.linspace(0, 1, 16))],
)
def test_what_the_graph_does_not_hold_is_taken_to_keep_the_level(function):
    power, _, reason = power_read_by_the_head(function)
    assert power == pytest.approx(1.0)
    assert "taken to keep" in reason or "taken to have unit level" in reason or "reads the weight before it" in reason


def test_half_of_a_layer_times_the_other_half_is_a_gate():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.both, self.last = nn.Linear(16, 32), nn.Linear(16, 4)

        def forward(self, x):
            gate, value = self.both(x).chunk(2, dim=-1)
            return self.last(functional.silu(gate) * value)

    head = {a.parameter: a for a in plan(trace(Gated(), torch.ones(4, 16)))}["last.weight"]
    assert head.level / (head.spread**2 * 16) == pytest.approx(gaussian_moments("silu").second_moment)
    assert "a gate of silu" in head.reason


def test_a_step_that_is_not_elementwise_has_no_function():
    odd = Node(1, Operation.ACTIVATION, "mystery", (0,), (8,), function="mystery")
    assert Functions(trace(nn.Linear(2, 2), torch.ones(1, 2))).of(odd) is None
