"""Where a plain network stands between order and chaos, on real models; other networks stand nowhere."""

import math

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.records import Fixed
from gainstage.report.html import html_page
from gainstage.report.standing import standing


def chain(*extra: nn.Module, act: type[nn.Module] = nn.Tanh, sigma_w: float = 1.3, sigma_b: float = 0.2) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(20, 256), act()]
    for _ in range(5):
        layers += [nn.Linear(256, 256), act()]
    model = nn.Sequential(*layers, *extra, nn.Linear(256, 10))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=sigma_w / math.sqrt(layer.in_features))
            nn.init.normal_(layer.bias, std=sigma_b)
    return model


def test_the_spreads_are_those_it_was_drawn_with() -> None:
    at = standing(gs.check(chain(), torch.randn(64, 20)).profile)
    assert at is not None
    assert (at.activation, at.layers) == ("tanh", 5)  # the first layer reads the input, the last none reads
    # The median of five layers: 256² weights and 256 biases each, three standard errors of a spread, 1/√(2n).
    assert at.sigma_w == pytest.approx(1.3, rel=3 / math.sqrt(2 * 256**2))
    assert at.sigma_b == pytest.approx(0.2, rel=3 / math.sqrt(2 * 256))


@pytest.mark.parametrize(
    "model",
    [
        chain(nn.LayerNorm(256)),
        chain(nn.ReLU()),
        chain(nn.Dropout(0.1)),
        chain(act=lambda: nn.LeakyReLU(0.3)),  # type: ignore[arg-type]
        nn.Sequential(nn.Linear(20, 256), nn.Tanh(), nn.Linear(256, 10)),
        nn.Sequential(nn.Linear(20, 10)),
    ],
    ids=["normalised", "two activations", "dropout", "settings", "shallow", "linear"],
)
def test_other_networks_stand_nowhere(model: nn.Module) -> None:
    diagnosis = gs.check(model, torch.randn(64, 20))
    assert standing(diagnosis.profile) is None
    assert "Between order and chaos" not in html_page(diagnosis)


def test_before_and_after_stand_in_one_picture() -> None:
    before, after = (gs.check(chain(sigma_w=w), torch.randn(64, 20)) for w in (0.5, 1.1))
    page = html_page(Fixed(before, after, ()))
    assert "before at σ_w 0.5, σ_b" in page
    assert "after at σ_w 1.1, σ_b" in page
