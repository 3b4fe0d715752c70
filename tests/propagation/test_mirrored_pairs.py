"""Units in opposite pairs: what their readers get, predicted from the plan, from the weights, and measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.backends.torch import record

WIDTH, DEPTH, DRAWS = 64, 4, 8


def plain(activation: type[nn.Module]) -> nn.Sequential:
    hidden = [m for _ in range(DEPTH) for m in (nn.Linear(WIDTH, WIDTH), activation())]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, 10))


def levels(profile: gs.Profile, which: str) -> list[float]:
    """The second moments behind all weights but the last, of the signal or of the gradient."""
    nodes = [n for n in profile.nodes if profile.graph.nodes[n.node].operation.weighted]
    return [getattr(n, which).second_moment for n in nodes[:-1]]


@pytest.mark.parametrize("scheme", ["mirrored", "mirrored_normal"])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, nn.Softplus, nn.ELU])
def test_signal_and_gradient_of_mirrored_networks_are_predicted(activation, scheme):
    """Drawn without calibration, a fifth too large, so that nothing is at its level by construction."""
    model, x = plain(activation), torch.randn(128, WIDTH, generator=torch.Generator().manual_seed(0))
    plan = gs.plan(model, scheme, x=x, overrides={"*.weight": gs.Override(gain=1.2)})
    found: dict[str, list[list[float]]] = {"forward": [], "backward": []}
    for seed in range(DRAWS):
        gs.apply(model, replace(plan, seed=seed))
        measured = record(model, x)
        for which, drawn in found.items():
            drawn.append(levels(measured, which))
    for predicted, draws in ((gs.predict(model, x, plan=plan), DRAWS), (gs.predict(model, x), 1)):
        for which, drawn in found.items():
            logs = np.log(drawn)
            error = 3 * logs.std(0) / draws**0.5  # the weights that are there are one draw
            distance = np.abs(np.log(levels(predicted, which)) - logs.mean(0))
            assert (distance < error + 0.05).all(), (which, distance, error)


def test_pairs_behind_pooling_are_doubted():
    layers = (nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
    model, x = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 10)), torch.randn(8, 1, 8, 8)
    predicted = gs.predict(model, x, plan="mirrored")
    assert any("pairs of opposite units" in node.doubt for node in predicted.nodes)


def test_one_orthogonal_tap_loses_nothing_at_the_borders():
    hidden = [m for _ in range(4) for m in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), *hidden, nn.Flatten(), nn.Linear(8 * 36, 10))
    x = torch.randn(64, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    gs.apply(model, gs.plan(model, "mirrored_delta", x=x))
    measured, predicted = levels(record(model, x), "forward"), levels(gs.predict(model, x), "forward")
    np.testing.assert_allclose(measured[1:], measured[0], rtol=1e-4)
    np.testing.assert_allclose(predicted[1:], predicted[0], rtol=1e-4)
