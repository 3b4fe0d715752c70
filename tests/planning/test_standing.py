"""Values that were written on purpose stay; those that a framework draws by itself do not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gainstage as gs


class Detector(nn.Module):
    def __init__(self, bias: float | None) -> None:
        super().__init__()
        self.tower, self.logits = nn.Linear(16, 32), nn.Linear(32, 3)
        if bias is not None:
            nn.init.constant_(self.logits.bias, bias)

    def forward(self, x):
        return self.logits(torch.relu(self.tower(x)))


@pytest.mark.parametrize(("bias", "stays"), [(-4.6, True), (-0.01, True), (0.0, False), (None, False)])
def test_a_prior_in_the_bias_of_an_output_stays_and_a_default_does_not(bias, stays) -> None:
    torch.manual_seed(0)
    model = Detector(bias)
    plan = {a.parameter: a for a in gs.initialize(model, "auto", x=torch.randn(64, 16))}
    assert (plan["logits.bias"].scheme == "keep") is stays
    assert plan["tower.bias"].scheme == "uniform_fan_in"
    if stays:
        assert "holds a prior" in plan["logits.bias"].reason
        assert model.logits.bias.detach().unique().numel() == 1


def test_a_bias_without_a_meaning_at_the_start_is_no_prior() -> None:
    model = Detector(None)
    nn.init.constant_(model.tower.bias, 3.0)
    plan = {a.parameter: a.scheme for a in gs.initialize(model, "auto", x=torch.randn(64, 16))}
    assert plan["tower.bias"] == "uniform_fan_in"


class Silent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.down = nn.Linear(16, 16), nn.Linear(16, 32), nn.Linear(32, 16)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 4)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.norm.weight, 0.5)

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.norm(x + self.down(torch.relu(self.up(x)))))


def test_what_starts_silent_and_what_a_norm_was_given_stay() -> None:
    model = Silent()
    plan = {a.parameter: a for a in gs.initialize(model, "auto", x=torch.randn(64, 16))}
    for path in ("down.weight", "head.weight", "norm.weight"):
        assert plan[path].scheme == "keep"
    assert "starts silent" in plan["down.weight"].reason
    assert plan["norm.bias"].scheme == "zero"
    assert plan["up.weight"].scheme != "keep"


@pytest.mark.parametrize(("gain", "stays"), [(0.58, True), (2.4, True), (20.0, False), (0.01, False)])
def test_before_a_norm_the_spread_that_the_model_was_made_with_stays(gain, stays) -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 4))
    nn.init.normal_(model[0].weight, std=gain / 8)
    gs.initialize(model, "auto", x=torch.randn(64, 64))
    wanted = gain / 8 if stays else 1 / 8
    count = model[0].weight.numel()
    assert float(model[0].weight.detach().std()) == pytest.approx(wanted, rel=4 / math.sqrt(2 * count))


class Tokens(nn.Module):
    def __init__(self, positions: str) -> None:
        super().__init__()
        self.tokens, self.kind = nn.Embedding(50, 32), positions
        if positions == "table":
            self.positions = nn.Embedding(12, 32)
        else:
            self.positions = nn.Parameter(
                torch.zeros(1, 12, 32) if positions == "zeros" else 0.15 * torch.randn(12, 32)
            )
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 50)

    def forward(self, i):
        places = self.positions(torch.arange(12)) if self.kind == "table" else self.positions
        return self.head(self.norm(self.tokens(i) + places))


@pytest.mark.parametrize("positions", ["table", "zeros", "about right"])
def test_tokens_and_positions_are_of_one_size(positions) -> None:
    torch.manual_seed(0)
    model = Tokens(positions)
    gs.initialize(model, "auto", x=torch.randint(0, 50, (16, 12)))
    tokens = float(model.tokens.weight.detach().square().mean().sqrt())
    places = model.positions.weight if positions == "table" else model.positions
    size = float(places.detach().square().mean().sqrt())
    assert tokens == pytest.approx(1 / math.sqrt(2 * 32), rel=0.1)
    assert size == pytest.approx(0.15 if positions == "about right" else tokens, rel=0.15)


def test_an_adapter_keeps_its_first_factor() -> None:
    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base, self.a, self.b = nn.Linear(16, 16), nn.Linear(16, 2, bias=False), nn.Linear(2, 16, bias=False)
            self.head = nn.Linear(16, 4)
            self.base.requires_grad_(False)
            nn.init.zeros_(self.b.weight)

        def forward(self, x):
            return self.head(torch.relu(self.base(x) + self.b(self.a(x))))

    model = Adapted()
    before = model.a.weight.detach().clone()
    plan = {a.parameter: a for a in gs.initialize(model, "auto", x=torch.randn(64, 16))}
    assert torch.equal(model.a.weight, before)
    assert "begins an adapter" in plan["a.weight"].reason
    assert not model.b.weight.any()


class Physics(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))

    def forward(self, x):
        with torch.enable_grad():
            t = x.detach().clone().requires_grad_(True)
            u = self.net(t)
            slope = torch.autograd.grad(u.sum(), t, create_graph=True)[0]
            curve = torch.autograd.grad(slope.sum(), t, create_graph=True)[0]
        return torch.cat([u, curve], 1)


def test_derivatives_inside_a_forward_pass_are_no_uses_of_weights() -> None:
    model, plain, x = Physics(), Physics(), torch.rand(64, 2)
    graph = gs.trace(model, x)
    assert [len(p.nodes) for p in graph.parameters if p.path.endswith("weight")] == [1, 1, 1]
    derived = {a.parameter: a.level for a in gs.initialize(model, "auto", x=x, seed=1)}
    direct = {a.parameter: a.level for a in gs.initialize(plain.net, "auto", x=x, seed=1)}
    assert derived == {f"net.{name}": level for name, level in direct.items()}
    with torch.no_grad():
        assert float(model.net(x).square().mean()) == pytest.approx(derived["net.4.weight"], rel=1e-3)
    F.mse_loss(model(x), torch.zeros(64, 3)).backward()


def test_streams_that_follow_one_another_share_a_budget() -> None:
    """Twelve streams with a budget each would multiply the gradient by fifty."""

    class Reset(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down, self.mix = nn.Linear(32, 64), nn.Linear(64, 32), nn.Linear(32, 32)
            self.norm = nn.BatchNorm1d(32)

        def forward(self, x):
            return self.norm(self.mix(x + self.down(torch.relu(self.up(x)))))

    levels = []
    for depth in (4, 12):
        model = nn.Sequential(*(Reset() for _ in range(depth)), nn.Linear(32, 4))
        plan = {a.parameter: a for a in gs.initialize(model, "auto", x=torch.randn(64, 32))}
        levels.append(plan["1.down.weight"].level)
    assert levels[0] == pytest.approx(1.0)
    assert levels[1] == pytest.approx(1 / 3)


@pytest.mark.parametrize(("inputs", "rule"), [(2, "uniform_fan_in"), (32, "uniform_fan_in"), (33, "zero")])
def test_units_of_few_inputs_get_biases_that_spread_where_they_bend(inputs, rule):
    model = nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3))
    plan = {a.parameter: a for a in gs.initialize(model, "auto", x=torch.randn(64, inputs))}
    assert (plan["0.bias"].bias, plan["2.bias"].bias, plan["4.bias"].bias) == (rule, "zero", "zero")
    bound = math.sqrt(plan["0.weight"].level / inputs) if rule == "uniform_fan_in" else 0
    assert float(model[0].bias.detach().abs().max()) <= bound * (1 + 1e-6)


def test_units_in_mirrored_pairs_have_no_biases():
    model = nn.Sequential(*[m for i in range(9) for m in (nn.Linear(32 if i else 2, 32), nn.ReLU())], nn.Linear(32, 3))
    plan = gs.initialize(model, "auto", x=torch.randn(64, 2))
    assert all(a.bias == "zero" for a in plan if a.bias is not None)
