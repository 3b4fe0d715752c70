"""Small real networks, sick and healthy, for rules about wiring and structure: each pair differs in one thing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import gainstage as gs
from zoo.networks import MLP


def codes(findings) -> set[str]:
    return {code for f in findings for code in (f.code, *codes(f.consequences))}


def data(size: int = 32, classes: int = 10, examples: int = 64):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(examples, size, generator=generator), torch.randint(0, classes, (examples,), generator=generator)


def found(model: nn.Module, x=None, **settings) -> set[str]:
    given, y = data()
    return codes(gs.check(model, given if x is None else x, y, loss="cross_entropy", **settings).findings)


# -- randomness in evaluation mode -------------------------------------------------------------------------------------


class Dropping(nn.Module):
    def __init__(self, always: bool) -> None:
        super().__init__()
        self.first, self.last, self.always = nn.Linear(32, 64), nn.Linear(64, 10), always

    def forward(self, x):
        return self.last(functional.dropout(torch.relu(self.first(x)), 0.2, training=self.always or self.training))


class Sampling(Dropping):
    """Noise on purpose, as a variational autoencoder's."""

    def forward(self, x):
        hidden = torch.relu(self.first(x))
        return self.last(hidden + 0.1 * torch.randn_like(hidden))


def test_randomness_in_evaluation_mode():
    torch.manual_seed(0)
    x, y = data()
    sick = gs.check(Dropping(always=True), x, y, loss="cross_entropy")
    assert "GS118" in codes(sick.findings)
    assert not sick.ok
    assert "GS118" not in found(Dropping(always=False))
    assert "GS118" not in found(MLP(32, 64, 10))
    sampled = gs.check(Sampling(always=False), x, y, loss="cross_entropy")
    assert [f.severity for f in sampled.findings if f.code == "GS118"] == [gs.Severity.NOTE]


# -- what is frozen, and what the optimizer does to it -----------------------------------------------------------------


def frozen_after_a_step(*, to_none: bool) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model, (x, y) = MLP(32, 64, 64, 10), data()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.01)
    functional.cross_entropy(model(x), y).backward()
    optimizer.zero_grad(set_to_none=to_none)
    model[0].requires_grad_(False)
    return model, optimizer


class WritesItself(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean = MLP(32, 64, 10), nn.Parameter(torch.zeros(10), requires_grad=False)

    def forward(self, x):
        out = self.body(x)
        with torch.no_grad():
            self.mean.mul_(0.9).add_(out.mean(0), alpha=0.1)
        return out - self.mean


def test_frozen_parameters_that_move():
    model, optimizer = frozen_after_a_step(to_none=False)
    assert "GS712" in found(model, optimizer=optimizer)
    model, optimizer = frozen_after_a_step(to_none=True)
    assert "GS712" not in found(model, optimizer=optimizer)
    assert "GS712" in found(WritesItself())


class Adapted(nn.Module):
    """A low-rank adapter beside a layer."""

    def __init__(self, *, frozen: bool = True, up: float = 0.0, down: float = 1.0) -> None:
        super().__init__()
        self.base, self.head = nn.Linear(32, 32), nn.Linear(32, 10)
        self.down, self.up = nn.Linear(32, 2, bias=False), nn.Linear(2, 32, bias=False)
        self.base.requires_grad_(not frozen)
        nn.init.normal_(self.down.weight, std=down / 32**0.5)
        nn.init.normal_(self.up.weight, std=up)

    def forward(self, x):
        return self.head(torch.relu(self.base(x) + self.up(self.down(x))))


def test_a_base_that_trains_beside_its_adapter_is_a_note():
    torch.manual_seed(0)
    assert "GS713" in found(Adapted(frozen=False))
    assert "GS713" not in found(Adapted())
    torch.manual_seed(0)
    assert gs.check(Adapted(), *data(), loss="cross_entropy").ok


def test_adapters_with_both_factors_zero_and_adapters_that_drown_the_base():
    torch.manual_seed(0)
    x, y = data()
    both = gs.check(Adapted(down=0.0), x, y, loss="cross_entropy")
    assert not both.ok
    assert "GS203" in codes(both.findings)
    loud = gs.check(Adapted(up=30.0), x, y, loss="cross_entropy")
    assert "GS113" in codes(loud.findings)


def test_decay_on_norms_and_biases_is_a_note():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 10))
    whole = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    assert "GS714" in found(model, optimizer=whole)
    split = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.dim() > 1]},
            {"params": [p for p in model.parameters() if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=1e-3,
    )
    assert "GS714" not in found(model, optimizer=split)
    assert gs.check(model, *data(), loss="cross_entropy", optimizer=whole).ok


# -- a custom backward -------------------------------------------------------------------------------------------------


class Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return ctx.factor * ctx.saved_tensors[0] * gradient, None


class Handwritten(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.first, self.last, self.factor = nn.Linear(32, 32), nn.Linear(32, 10), factor

    def forward(self, x):
        return self.last(Squared.apply(self.first(x), self.factor))


@pytest.mark.parametrize(("factor", "wrong"), [(2.0, False), (1.0, True), (-2.0, True), (2.3, True)])
def test_a_backward_is_compared_with_finite_differences(factor, wrong):
    torch.manual_seed(0)
    model = Handwritten(factor)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert ("GS206" in found(model, check_gradients=True)) is wrong
    assert all(torch.equal(v, before[k]) and v.dtype == before[k].dtype for k, v in model.state_dict().items())


@pytest.mark.parametrize("build", [
    lambda: MLP(32, 64, 64, 10),
    lambda: nn.Sequential(nn.Linear(32, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 10)),
    lambda: nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10)),
])  # fmt: skip
def test_gradients_of_the_framework_agree(build):
    torch.manual_seed(0)
    assert "GS206" not in found(build(), check_gradients=True)


# -- experts -----------------------------------------------------------------------------------------------------------


class Mixture(nn.Module):
    """Every token goes to its best experts; experts without tokens run on nothing, or not at all."""

    def __init__(self, experts: int = 4, chosen: int = 1, *, bias: float = 0.0, skip: bool = True) -> None:
        super().__init__()
        self.router, self.chosen, self.skip = nn.Linear(32, experts), chosen, skip
        with torch.no_grad():
            self.router.bias.zero_()[0] = bias
        self.experts = nn.ModuleList([
            nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(experts)
        ])  # fmt: skip
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        weights, choice = self.router(x).softmax(-1).topk(self.chosen, -1)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows, place = torch.where(choice == number)
            if self.skip and not len(rows):
                continue
            out = out.index_add(0, rows, expert(x[rows]) * weights[rows, place, None])
        return self.head(x + out)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("chosen", [1, 2])
def test_experts_that_get_no_tokens_or_all(chosen, skip):
    torch.manual_seed(0)
    assert "GS119" in found(Mixture(chosen=chosen, bias=20.0, skip=skip))
    for seed in range(5):
        torch.manual_seed(seed)
        assert "GS119" not in found(Mixture(chosen=chosen, skip=skip))


def test_many_experts_and_few_tokens_leave_some_empty():
    torch.manual_seed(0)
    assert "GS119" not in found(Mixture(experts=32))


def test_identical_experts_are_noted():
    torch.manual_seed(0)
    model = Mixture(chosen=2)
    for expert in model.experts:
        expert.load_state_dict(model.experts[0].state_dict())
    assert "GS303" in found(model)
    torch.manual_seed(0)
    assert "GS303" not in found(Mixture(chosen=2))


# -- state-space layers ------------------------------------------------------------------------------------------------


class Selective(nn.Module):
    """A selective scan, written out as in Mamba: states decay by exp(−Δ·exp(A))."""

    def __init__(self, smallest: float = 1e-3, largest: float = 0.1, states: int = 8, width: int = 16) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(4, width), nn.Linear(width, 10)
        self.step, self.b, self.c = nn.Linear(width, width), nn.Linear(width, states), nn.Linear(width, states)
        self.log_a = nn.Parameter(torch.log(torch.arange(1.0, states + 1)).repeat(width, 1))
        sizes = torch.exp(torch.rand(width) * math.log(largest / smallest) + math.log(smallest))
        with torch.no_grad():
            self.step.weight.mul_(0.1)
            self.step.bias.copy_(torch.where(sizes > 20, sizes, sizes.expm1().log()))

    def forward(self, x):
        x = self.embed(x.unflatten(1, (8, 4)))
        step, a = functional.softplus(self.step(x)), -torch.exp(self.log_a)
        decay = torch.exp(step[..., None] * a)
        inputs = step[..., None] * self.b(x)[..., None, :] * x[..., None]
        state, outs = torch.zeros_like(inputs[:, 0]), []
        for t in range(x.shape[1]):
            state = decay[:, t] * state + inputs[:, t]
            outs.append((state * self.c(x)[:, t, None, :]).sum(-1))
        return self.head(torch.stack(outs, 1).mean(1) + x.mean(1))


@pytest.mark.parametrize(("smallest", "largest", "sick"), [
    (1e-3, 0.1, False), (1e-2, 1.0, False), (8.0, 30.0, True), (1e-7, 1e-6, True),
])  # fmt: skip
def test_time_constants_of_a_selective_scan(smallest, largest, sick):
    torch.manual_seed(0)
    assert ("GS120" in found(Selective(smallest, largest))) is sick
