"""The optimizer's first step: known exactly on a quadratic, and nothing is left behind."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gainstage.backends.torch import record

X = torch.randn(32, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.randn(32, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def linear():
    torch.manual_seed(0)
    return nn.Linear(4, 1, bias=False).double()


def measured(model, optimizer, x=X, y=Y, loss=F.mse_loss):
    return record(model, x, y, loss=loss, optimizer=optimizer)


@pytest.mark.parametrize("rate", [1e-4, 0.1, 10.0])
def test_slope_and_curvature_of_a_quadratic(rate):
    """L(w) = |Xw − y|²/n: gradient 2Xᵀ(Xw − y)/n, Hessian 2XᵀX/n."""
    model = linear()
    step = measured(model, torch.optim.SGD(model.parameters(), lr=rate)).step
    w = model.weight.detach().T
    gradient = 2 * X.T @ (X @ w - Y) / len(X)
    move = -rate * gradient
    hessian = 2 * X.T @ X / len(X)
    slope, curvature = float(gradient.T @ move), float(move.T @ hessian @ move)
    # The curvature is twice a difference of losses near one: eps of double precision, relative to its own size.
    assert step.slope == pytest.approx(slope)
    assert step.curvature == pytest.approx(curvature, rel=1e-6, abs=100 * torch.finfo(torch.float64).eps)
    assert step.loss_after == pytest.approx(float(F.mse_loss(X @ (w + move), Y)))


def test_the_stable_factor_is_where_the_loss_is_back_at_its_start():
    model = linear()
    step = measured(model, torch.optim.SGD(model.parameters(), lr=0.01)).step
    before = F.mse_loss(model(X), Y).detach()
    there = measured(model, torch.optim.SGD(model.parameters(), lr=0.01 * step.stable_factor)).step
    assert there.loss_after == pytest.approx(float(before), rel=1e-6)


def test_updates_relative_to_the_weights():
    model = linear()
    profile = measured(model, torch.optim.SGD(model.parameters(), lr=0.3))
    figures = profile.by_path["weight"]
    assert figures.update == pytest.approx(0.3 * figures.gradient.norm / figures.weight.norm)


OPTIMIZERS = {
    "sgd with momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.1),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.1),
    "adafactor": lambda p: torch.optim.Adafactor(p),
}


def trained(make, steps):
    """A model and its optimizer in the middle of a training."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    optimizer = make(model.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(model(X), Y).backward()
        optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_is_the_step_that_the_optimizer_takes_next_and_is_taken_back(name, steps):
    model, optimizer = trained(OPTIMIZERS[name], steps)
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    step = measured(model, optimizer).step
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key])
    assert str(optimizer.state_dict()) == str(state)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert (parameter.grad is None) if gradient is None else torch.equal(parameter.grad, gradient)
    other, _ = trained(OPTIMIZERS[name], steps + 1)  # the other route: take the step
    assert step.loss_after == pytest.approx(float(F.mse_loss(other(X), Y).detach()), rel=1e-9)


def test_a_schedule_and_hooks_of_the_user_are_not_set_off():
    model, optimizer = trained(OPTIMIZERS["adam"], 0)
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)  # puts a wrapper around optimizer.step
    step = measured(model, optimizer).step
    assert step.loss_after != pytest.approx(float(F.mse_loss(model(X), Y).detach()))
    assert not calls
    assert not optimizer.state


class Around(torch.optim.Optimizer):
    """An optimizer of one's own that holds another one, and attributes that it needs."""

    def __init__(self, parameters, factor):
        self.inner = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
        self.factor = factor
        super().__init__(self.inner.param_groups, {})

    def step(self, closure=None):
        before = [p.detach().clone() for g in self.param_groups for p in g["params"]]
        self.inner.step()
        with torch.no_grad():
            for old, new in zip(before, (p for g in self.param_groups for p in g["params"]), strict=True):
                new.lerp_(old, 1 - self.factor)


def test_an_optimizer_around_another_leaves_that_one_alone_too():
    model, optimizer = trained(lambda p: Around(list(p), 0.5), 2)
    state = copy.deepcopy(optimizer.inner.state_dict())
    step = measured(model, optimizer).step
    assert str(optimizer.inner.state_dict()) == str(state)
    other, _ = trained(lambda p: Around(list(p), 0.5), 3)
    assert step.loss_after == pytest.approx(float(F.mse_loss(other(X), Y).detach()), rel=1e-9)


def test_parameters_of_other_models_and_old_gradients_are_left_alone():
    model, other = linear(), linear()
    other.weight.grad = torch.ones_like(other.weight)
    frozen = nn.Parameter(torch.ones(3))
    frozen.grad = torch.ones(3)
    model.register_parameter("unused", frozen)
    optimizer = torch.optim.SGD([*model.parameters(), *other.parameters()], lr=1.0)
    before = other.weight.detach().clone()
    measured(model, optimizer)
    assert torch.equal(other.weight, before)
    assert torch.equal(other.weight.grad, torch.ones_like(before))
    assert torch.equal(frozen, torch.ones(3))
    assert torch.equal(frozen.grad, torch.ones(3))


def test_an_optimizer_that_needs_a_closure_gives_no_step():
    model = linear()
    before = model.weight.detach().clone()
    profile = measured(model, torch.optim.LBFGS(model.parameters()))
    assert profile.step is None
    assert torch.equal(model.weight, before)
    assert any(note.code == "GS902" and "closure" in note.message for note in profile.notes)


def test_sparse_and_complex_gradients():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.filter = nn.Parameter(torch.ones(4, dtype=torch.complex128))

        def forward(self, x):
            return (torch.fft.fft(x) * self.filter).real.sum(1, keepdim=True)

    model = Complex()
    step = measured(model, torch.optim.SGD(model.parameters(), lr=1e-3)).step
    assert step.slope < 0
    table = nn.Sequential(nn.EmbeddingBag(7, 4, sparse=True), nn.Linear(4, 1))
    ids, y = torch.randint(0, 7, (32, 3)), Y.float()
    step = measured(table, torch.optim.SGD(table.parameters(), lr=1e-3), ids, y).step
    assert step.slope < 0


def test_a_step_so_large_that_the_model_refuses_it():
    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1).double()

        def forward(self, x):
            out = self.layer(x)
            if not bool(out.abs().max() < 1e6):
                raise ValueError("out of range")
            return out

    model = Careful()
    step = measured(model, torch.optim.SGD(model.parameters(), lr=1e12)).step
    assert step.loss_after != step.loss_after
    assert float(model(X).detach().abs().max()) < 1e6
