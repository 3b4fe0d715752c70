"""Every tensor is judged in its own number format, also where autocast or a part of the model chooses it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import gainstage as gs
from zoo.networks import MLP

CODES = {"GS802", "GS803", "GS804"}


class Autocast(nn.Module):
    """Computes in float16 and returns float32 logits, as training loops do."""

    def __init__(self, net: nn.Module, scale: float = 1.0, dtype: torch.dtype = torch.float16) -> None:
        super().__init__()
        self.net, self.scale, self.dtype = net, scale, dtype

    def forward(self, x):
        with torch.autocast("cpu", dtype=self.dtype):
            out = self.net(x * self.scale)
        return out.float()


def found(model: nn.Module, *, loss_scale: float = 1.0) -> set[str]:
    torch.manual_seed(1)
    x, y = torch.randn(64, 64), torch.randint(0, 10, (64,))
    diagnosis = gs.check(model, x, y, loss=lambda out, y: loss_scale * nn.functional.cross_entropy(out, y))
    pending = [*diagnosis.findings]
    for finding in pending:
        pending += finding.consequences
    return {f.code for f in pending} & CODES


def net() -> nn.Module:
    torch.manual_seed(0)
    return MLP(64, 64, 64, 64, 10)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_healthy_network_under_autocast_is_not_flagged(dtype):
    assert found(Autocast(net(), dtype=dtype)) == set()


def test_values_near_the_end_of_float16_are_seen_behind_float32_logits():
    assert "GS802" in found(Autocast(net(), scale=1e4))
    assert "GS802" not in found(Autocast(net(), scale=1e4, dtype=torch.bfloat16))


@pytest.mark.parametrize("loss_scale", [1e-6, 1e-8])
def test_gradients_that_underflow_are_seen_behind_float32_logits(loss_scale):
    assert "GS803" in found(Autocast(net()), loss_scale=loss_scale)
    assert "GS803" not in found(Autocast(net(), dtype=torch.bfloat16), loss_scale=loss_scale)


def test_a_part_in_half_precision_is_judged_in_it():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.body, self.head = nn.Linear(64, 64), MLP(64, 64, 64).half(), nn.Linear(64, 10)

        def forward(self, x):
            return self.head(self.body((8e3 * self.first(x)).half()).float())

    torch.manual_seed(0)
    assert "GS802" in found(Mixed())


@pytest.mark.parametrize("loss_scale", [1e-7, 1e-4])
def test_the_advised_loss_scale_cures_the_gradients(loss_scale):
    """Measured in single precision, advised from there, and looked at again in real float16."""
    torch.manual_seed(1)
    x, y = torch.randn(64, 64), torch.randint(0, 10, (64,))

    def loss(factor):
        return lambda out, y: factor * loss_scale * nn.functional.cross_entropy(out, y)

    formats = gs.formats(net(), x, y, loss=loss(1.0))
    scale = formats.loss_scale("float16")
    assert scale.left == 0
    assert scale.needed <= scale.advised < 2 * scale.needed
    assert math.log2(scale.advised) % 1 == 0
    assert "GS803" not in found(Autocast(net()), loss_scale=loss_scale * scale.advised)


def test_no_single_scale_serves_gradients_that_lie_too_far_apart():
    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            self.small, self.large = nn.Linear(64, 10), nn.Linear(64, 10)

        def forward(self, x):
            return 1e-9 * self.small(x) + 1e5 * self.large(x)

    torch.manual_seed(0)
    scale = gs.formats(Apart(), torch.randn(64, 64), formats=["float16"]).loss_scale("float16")
    assert scale.left > 0
    assert scale.advised <= scale.allowed < scale.needed
