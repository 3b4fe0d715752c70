"""What weights say without a batch: copies, constants, spreads of units."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gainstage.backends.torch import record

LAYERS = {
    "linear": (lambda: nn.Linear(6, 8), (4, 6), 0),
    "convolution": (lambda: nn.Conv2d(3, 8, 3), (2, 3, 5, 5), 0),
    "grouped": (lambda: nn.Conv2d(4, 8, 3, groups=2), (2, 4, 5, 5), 0),
    "transposed": (lambda: nn.ConvTranspose2d(3, 8, 3), (2, 3, 5, 5), 1),
}


class InOut(nn.Module):
    """Stores the input axis first."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(6, 8)), nn.Parameter(torch.zeros(8))

    def forward(self, x):
        return x @ self.weight + self.bias


LAYERS["stored in by out"] = (InOut, (4, 6), 1)


def unit(weight, axis, index):
    return weight.select(axis, index)


@pytest.mark.parametrize("name", LAYERS)
def test_copies_of_a_unit_are_counted_over_its_incoming_weights(name):
    make, shape, axis = LAYERS[name]
    torch.manual_seed(0)
    model = make()
    figures = record(model, torch.randn(shape)).by_path["weight"]
    assert figures.copies == 0
    with torch.no_grad():
        for source, target in ((0, 1), (0, 3), (4, 5)):
            unit(model.weight, axis, target).copy_(unit(model.weight, axis, source))
            if name != "stored in by out":  # its bias is a node of its own
                model.bias[target] = model.bias[source]
    assert record(model, torch.randn(shape)).by_path["weight"].copies == 3


def test_equal_weights_with_other_biases_are_no_copies():
    model = nn.Linear(6, 8)
    with torch.no_grad():
        model.weight[1] = model.weight[0]
        model.bias[1] = model.bias[0] + 1
    assert record(model, torch.randn(4, 6)).by_path["weight"].copies == 0


@pytest.mark.parametrize("name", LAYERS)
def test_the_spread_of_units(name):
    make, shape, axis = LAYERS[name]
    model = make()
    rows = model.weight.detach().movedim(axis, 0).reshape(8, -1).double()
    expected = rows.square().mean(1).sqrt()
    spread = record(model, torch.randn(shape)).by_path["weight"].unit_spread
    assert spread == pytest.approx((float(expected.min()), float(expected.max())), rel=1e-5)


def test_grouped_transposed_convolutions_keep_their_units_apart():
    model = nn.ConvTranspose2d(4, 6, 3, groups=2)
    with torch.no_grad():
        for o in range(6):
            group, local = divmod(o, 3)
            model.weight[group * 2 : group * 2 + 2, local] = float(o + 1)
    figures = record(model, torch.randn(2, 4, 5, 5)).by_path["weight"]
    assert figures.unit_spread == pytest.approx((1.0, 6.0))
    assert figures.copies == 0


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_constant_arrays(value):
    model = nn.Linear(6, 8)
    nn.init.constant_(model.weight, value)
    figures = record(model, torch.randn(4, 6)).by_path["weight"]
    assert figures.constant
    assert figures.weight.variance == pytest.approx(0, abs=1e-12)
    assert not record(nn.Linear(6, 8), torch.randn(4, 6)).by_path["weight"].constant


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e18])
def test_copies_at_every_scale(scale):
    torch.manual_seed(0)
    model = nn.Linear(64, 32, bias=False)
    with torch.no_grad():
        model.weight.mul_(scale)
    assert record(model, torch.randn(4, 64)).by_path["weight"].copies == 0
    with torch.no_grad():
        model.weight[7] = model.weight[30]
    assert record(model, torch.randn(4, 64)).by_path["weight"].copies == 1


def test_sparse_gradients_are_measured():
    model = nn.Sequential(nn.EmbeddingBag(7, 4, sparse=True), nn.Linear(4, 2))
    figures = record(model, torch.randint(0, 7, (8, 3))).by_path["0.weight"]
    assert figures.gradient.second_moment > 0
