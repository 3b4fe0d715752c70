"""Rates, decay and ε over width and depth, held against gradients and updates that theory predicts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage import planning
from gainstage.errors import InputError, UnknownNameError

BATCH = (32, 16)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Net(nn.Module):
    def __init__(self, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Linear(16, width), nn.Sequential(*(Block(width) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.stem(x))))


def on_meta(**sizes: int) -> Net:
    with torch.device("meta"):
        return Net(**sizes)


def gradients(**sizes: int) -> dict[str, float]:
    """The root mean square of every weight's gradient, predicted."""
    profile = gs.predict(on_meta(**sizes), input_shape=BATCH, plan="complete_p")
    return {p.path: p.gradient.second_moment**0.5 for p in profile.parameters if p.gradient is not None}


def test_epsilon_follows_the_entries_of_the_gradient():
    small, large = gradients(width=64, depth=2), gradients(width=512, depth=16)
    graph = gs.trace(on_meta(width=512, depth=16), torch.empty(BATCH, device="meta"))
    factors = planning.rate_factors(graph, 64, "adam", base_depth=2)
    for path in ("stem.weight", "blocks.0.up.weight", "blocks.0.down.weight", "head.weight"):
        assert large[path] / small[path] == pytest.approx(factors[path].eps, rel=0.15), path


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("adam", {"stem.weight": 1, "blocks.0.up.weight": 1 / 8, "blocks.0.down.weight": 1 / 32, "head.weight": 1 / 8}),
        ("sgd", {"stem.weight": 8, "blocks.0.up.weight": 4, "blocks.0.down.weight": 1 / 4, "head.weight": 1 / 8}),
        ("muon", {"stem.weight": 1, "blocks.0.up.weight": 1, "blocks.0.down.weight": 1 / 4, "head.weight": 1 / 8}),
    ],
)
def test_the_table_of_rates(rule, expected):
    graph = gs.trace(on_meta(width=512, depth=8), torch.empty(BATCH, device="meta"))
    found = planning.rate_factors(graph, 64, rule, base_depth=2)
    assert {path: found[path].rate for path in expected} == pytest.approx(expected)


def test_decay_keeps_its_product_with_the_rate():
    torch.manual_seed(0)
    groups = gs.parameter_groups(
        Net(256), torch.randn(BATCH), learning_rate=1e-2, base_width=64, weight_decay=0.1, eps=1e-8
    )
    decayed = [group for group in groups if group["weight_decay"]]
    assert {round(group["lr"] * group["weight_decay"], 9) for group in decayed} == {1e-3}
    assert len(torch.optim.AdamW(groups).param_groups) == len(groups)


def test_muon_takes_hidden_matrices_alone():
    net = Net(128)
    groups = gs.parameter_groups(net, torch.randn(BATCH), learning_rate=1e-2, base_width=64, optimizer="muon")
    taken = {id(p) for group in groups if group["use_muon"] for p in group["params"]}
    assert {name for name, p in net.named_parameters() if id(p) in taken} == {
        f"blocks.{i}.{part}.weight" for i in range(2) for part in ("up", "down")
    }


def test_refusals():
    x = torch.randn(BATCH)
    plain = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    with pytest.raises(InputError, match="base_depth counts residual branches"):
        gs.parameter_groups(plain, x, learning_rate=0.1, base_width=32, base_depth=2)
    with pytest.raises(InputError, match="at least 1"):
        gs.parameter_groups(Net(), x, learning_rate=0.1, base_width=64, base_depth=0)
    with pytest.raises(InputError, match="weight_decay"):
        gs.parameter_groups(Net(), x, learning_rate=0.1, base_width=64, weight_decay=-1.0)
    with pytest.raises(UnknownNameError):
        gs.parameter_groups(Net(), x, learning_rate=0.1, base_width=64, optimizer="adamax2")


def test_complete_p_shrinks_the_end_of_every_branch():
    plan = gs.plan(on_meta(width=64, depth=4), "complete_p", x=torch.empty(BATCH, device="meta"))
    spreads = {a.parameter: a.spread for a in plan}
    assert spreads["blocks.0.down.weight"] == pytest.approx(128**-0.5 / 4)
    assert spreads["blocks.0.up.weight"] == pytest.approx(64**-0.5)
    assert spreads["head.weight"] == pytest.approx(1 / 64)
    with pytest.raises(InputError, match="residual branches"):
        gs.plan(nn.Linear(16, 4), "complete_p", x=torch.randn(BATCH))
