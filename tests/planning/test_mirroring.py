"""The units that may stand in mirrored pairs, and the plan's assignments of their weights."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.backends import backend_of
from gainstage.errors import InputError
from gainstage.graph import Mirror, Pairing
from gainstage.planning.mirroring import mirror_links

WIDE, TIES = 16, 1e-5


def links(model: nn.Module, *shape: int) -> dict[str, str]:
    """Return the reason why each weight's units are not paired, by path; empty where they are."""
    graph = backend_of(model).trace(model, torch.randn(4, *shape))
    found = mirror_links(graph, {p.path for p in graph.parameters})
    return {link.path: link.fault for link in found.values()}


def plain(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, WIDE), *layers, nn.Linear(WIDE, 4))


class Reading(nn.Module):
    """Two weights, and what someone does in between."""

    def __init__(self, between, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.second, self.between = nn.Linear(8, WIDE), nn.Linear(WIDE, 4), between
        self.inner = inner

    def forward(self, x):
        return self.between(self, x)


# -- what holds ----------------------------------------------------------------------------------------------------

PAIRED = {
    "relu": (plain(nn.ReLU()), (8,)),
    "dropout": (plain(nn.GELU(), nn.Dropout(0.2)), (8,)),
    "batch norm": (plain(nn.BatchNorm1d(WIDE), nn.SiLU()), (8,)),
    "layer norm": (plain(nn.LayerNorm(WIDE), nn.ELU()), (8,)),
    "prelu": (plain(nn.PReLU(WIDE)), (8,)),
    "an odd width": (nn.Sequential(nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 4)), (8,)),
    "strides and dilation": (
        nn.Sequential(nn.Conv2d(2, 6, 3, stride=2), nn.Mish(), nn.Conv2d(6, 4, 2, dilation=2)), (2, 9, 9)),
    "groups": (nn.Sequential(nn.Conv2d(2, 12, 3), nn.ReLU(), nn.Conv2d(12, 6, 1, groups=3)), (2, 6, 6)),
    "flattened": (nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 4)), (2, 6, 6)),
    "average pooling": (
        nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(24, 4)), (2, 6, 6)),
    "an image out of a vector": (
        nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Unflatten(1, (6, 2, 2)), nn.Conv2d(6, 3, 1)), (8,)),
    "a transposed convolution": (
        nn.Sequential(nn.ConvTranspose2d(2, 6, 4, 2, 1), nn.ReLU(), nn.Conv2d(6, 3, 3)), (2, 4, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRED)
def test_a_network_of_mirrored_pairs_starts_as_an_odd_function(name):
    """f(-x) = -f(x) for the whole network, whatever stands between: without biases only pairs bring that about."""
    model, shape = PAIRED[name]
    x = torch.randn(64, *shape, generator=torch.Generator().manual_seed(0))
    plan = gs.initialize(model, "mirrored", x=x)
    assert [a.mirror is not None for a in plan if a.role.is_kernel] == [True, True]
    for training in (True,) if name == "batch norm" else (False,):  # stored statistics are of one batch
        model.train(training)
        with torch.no_grad():
            out, opposite = model(x), model(-x)
        assert float((out + opposite).abs().max()) < TIES * float(out.abs().max())
        assert float(out.std()) > 0


def test_max_pooling_keeps_the_network_odd_and_is_calibrated():
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    x = torch.randn(64, 1, 8, 8)
    gs.initialize(model, "mirrored", x=x)
    with torch.no_grad():
        out = model(x)
        assert float((out + model(-x)).abs().max()) < TIES * float(out.abs().max())
        assert float(model[3](model[:3](x)).square().mean()) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("halves", ["mirrored", "mirrored_delta", "mirrored_normal"])
def test_grouped_pairs_lie_inside_their_groups(halves):
    model = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, groups=2), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=4), nn.ReLU(),
        nn.Conv2d(8, 4, 1),
    )  # fmt: skip
    plan = {a.parameter: a for a in gs.initialize(model, halves, x=torch.randn(8, 4, 6, 6))}
    assert plan["2.weight"].mirror == Mirror(Pairing(2), Pairing(2))
    weight = model[2].weight.detach()
    assert bool((weight[0::2] == -weight[1::2]).all())
    assert bool((weight[:, 0] == -weight[:, 1]).all())


# -- what does not ---------------------------------------------------------------------------------------------------

SHARED = nn.Linear(WIDE, WIDE)
REFUSED = {
    "tanh": (plain(nn.Tanh()), "is odd, so that training would never part"),
    "sigmoid": (plain(nn.Sigmoid()), "odd but for a constant"),
    "no activation": (plain(nn.Identity()), "no activation follows"),
    "a normalisation behind the activation": (plain(nn.ReLU(), nn.BatchNorm1d(WIDE)), "reads its units"),
    "used twice": (
        nn.Sequential(nn.Linear(8, WIDE), nn.ReLU(), SHARED, nn.ReLU(), SHARED, nn.ReLU(), nn.Linear(WIDE, 4)),
        "used more than once"),
    "a stream": (Reading(lambda m, x: m.second((h := torch.relu(m.first(x))) + 0.5 * h.flip(1))), "reads its units"),
    "an output": (Reading(lambda m, x: (m.second(h := torch.relu(m.first(x))), h)), "an output of the model"),
    "another order": (
        Reading(lambda m, x: m.second(torch.relu(m.first(x)).view(-1, 4, 4).transpose(1, 2).flatten(1))),
        "in another order"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_paired_says_why(name):
    model, why = REFUSED[name]
    first = next(iter(links(model, 8).values()))
    assert why in first


def test_frozen_and_overridden_weights_are_left_and_so_are_those_that_read_them():
    model = plain(nn.ReLU(), nn.Linear(WIDE, WIDE), nn.ReLU())
    model[2].weight.requires_grad_(False)
    assert "not drawn anew" in links(model, 8)["0.weight"]
    model = plain(nn.ReLU())
    with pytest.raises(InputError, match="No units of this model can stand in mirrored pairs"):
        gs.plan(model, "mirrored", x=torch.randn(4, 8), overrides={"2.weight": "keep"})


def test_a_depthwise_reader_holds_no_pair():
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    assert "role 'depthwise'" in links(model, 1, 8, 8)["0.weight"]


def test_the_plan_tells_what_is_not_paired():
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    plan = {a.parameter: a for a in gs.plan(model, "mirrored", x=torch.randn(4, 8))}
    assert plan["0.weight"].mirror is None
    assert "not in pairs: tanh is odd" in plan["0.weight"].reason
    assert "opposite pairs" in plan["2.weight"].reason


# -- auto ------------------------------------------------------------------------------------------------------------


def deep(activation: type[nn.Module], depth: int, width: int = WIDE) -> nn.Sequential:
    hidden = [m for _ in range(depth - 1) for m in (nn.Linear(width, width), activation())]
    return nn.Sequential(nn.Linear(8, width), activation(), *hidden, nn.Linear(width, 4))


@pytest.mark.parametrize(("activation", "depth", "paired"), [
    (nn.ReLU, 3, False), (nn.ReLU, 12, True), (nn.GELU, 6, False), (nn.GELU, 16, True), (nn.ELU, 40, False),
    (nn.Tanh, 12, False), (nn.Sigmoid, 12, False),
])  # fmt: skip
def test_auto_pairs_the_units_of_plain_runs_that_lose_most(activation, depth, paired):
    model = deep(activation, depth)
    plan = gs.plan(model, "auto", x=torch.randn(16, 8))
    assert {a.mirror is not None for a in plan if a.role.is_kernel} == {paired}


def test_a_mirrored_network_keeps_level_and_gradient_at_any_depth():
    model = deep(nn.ReLU, 200)
    x = torch.randn(64, 8)
    gs.initialize(model, "auto", x=x)
    (model(x).square().mean()).backward()
    first, last = model[0].weight.grad, model[-1].weight.grad
    assert 0.1 < float(first.norm() / last.norm()) < 10


# -- drawing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["mirrored", "mirrored_normal"])
def test_a_plan_of_pairs_survives_json_and_draws_the_same_bytes(scheme, tmp_path):
    x = torch.randn(16, 8)
    model, other = deep(nn.ReLU, 4, 9), deep(nn.ReLU, 4, 9)
    plan = gs.initialize(model, scheme, x=x)
    plan.save(tmp_path / "plan.json")
    gs.apply(other, gs.load(tmp_path / "plan.json"))
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert one.detach().numpy().tobytes() == two.detach().numpy().tobytes()


def test_the_emitted_code_makes_the_same_pairs():
    x = torch.randn(32, 1, 8, 8)
    layers = (nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 7, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(252, 4))
    model = nn.Sequential(*layers)
    source = gs.initialize(model, "mirrored_delta", x=x).to_code()
    names: dict = {}
    exec(source, names)
    names["initialize"](model, seed=1)
    with torch.no_grad():
        out = model(x)
        assert float((out + model(-x)).abs().max()) < TIES * float(out.abs().max())
        level = float(model[2](model[:2](x)).square().mean())
    assert np.log(level) == pytest.approx(0, abs=0.7)  # three pairs of channels, another draw


# -- training parts them ---------------------------------------------------------------------------------------------


@cache
def plan_of_relu() -> gs.Plan:
    return gs.plan(deep(nn.ReLU, 6), "mirrored", x=torch.randn(64, 8))


def trained_asymmetry(activation: type[nn.Module], optimizer: str, decay: float) -> float:
    """‖a + b‖ / ‖a - b‖ over the pairs of a middle layer after 100 steps; 0 for pairs that are still opposite."""
    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = (x[:, 0] * x[:, 1] > 0).long() + 2 * (x[:, 2] > 0).long()
    model = deep(activation, 6)
    gs.apply(model, plan_of_relu())  # also for what it would refuse
    made = {"adam": torch.optim.AdamW, "sgd": torch.optim.SGD}[optimizer]
    options = {"lr": 3e-3} if optimizer == "adam" else {"lr": 0.03, "momentum": 0.9}
    steps = made(model.parameters(), weight_decay=decay, **options)
    for _ in range(100):
        batch = torch.randint(256, (32,))
        steps.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        steps.step()
    first, second = model[6].weight.detach().chunk(2)
    return float((first + second).norm() / (first - second).norm())


@pytest.mark.parametrize(("optimizer", "decay"), [("adam", 0.0), ("adam", 0.1), ("sgd", 0.0), ("sgd", 1e-3)])
def test_training_parts_the_pairs_where_the_even_part_is_substantial_and_nowhere_else(optimizer, decay):
    for activation in (nn.ReLU, nn.GELU):
        assert trained_asymmetry(activation, optimizer, decay) > 0.05
    assert trained_asymmetry(nn.Tanh, optimizer, decay) < 1e-3
    assert trained_asymmetry(nn.Sigmoid, optimizer, decay) < 0.02
