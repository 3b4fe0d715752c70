"""The plan without calibration: the mean over seeds of every weight's output is at the level that was aimed at.

Held by plain nets and by residual ones, normalised or not. What the plan's own forecast does not follow (borders of
padded convolutions, pooling, attention's averages) is left to calibration.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean, stdev

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.backends import torch as backend
from zoo.networks import MLP, ResidualMLP

DRAWS, WIDTH = 20, 64


def plain(depth: int, activation: type[nn.Module]) -> nn.Module:
    return MLP(WIDTH, *[WIDTH] * depth, 10, activation=activation)


NETS = {
    "relu": lambda: plain(8, nn.ReLU),
    "tanh": lambda: plain(20, nn.Tanh),
    "sigmoid": lambda: plain(8, nn.Sigmoid),
    "gelu": lambda: plain(8, nn.GELU),
    "residual": lambda: ResidualMLP(8, norm=False),
    "residual, layer norm": lambda: ResidualMLP(8, norm=True),
}


@pytest.mark.parametrize("name", NETS)
def test_the_mean_over_draws_is_at_the_level(name):
    """Within three standard errors of the mean, or 5 %, which a wrong rule exceeds layer by layer."""
    model = NETS[name]()
    plan = gs.plan(model, batch=torch.zeros(2, WIDTH))
    measured: dict[str, list[float]] = {a.parameter: [] for a in plan if a.level is not None}
    for seed in range(DRAWS):
        x = torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(seed))
        gs.apply(model, replace(plan, seed=seed))
        profile = backend.record(model, x)
        for node in profile.graph.nodes:
            for use in node.uses_of("weight"):
                if use.parameter in measured:
                    measured[use.parameter].append(profile.by_node[node.index].forward.second_moment)
    for assignment in plan:
        if assignment.level is not None:
            found = measured[assignment.parameter]
            error = 3 * stdev(found) / math.sqrt(DRAWS)
            assert abs(fmean(found) - assignment.level) <= max(0.05 * assignment.level, error), assignment.parameter
