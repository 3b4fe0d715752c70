"""Tensors that train, against what the model registers and the optimizer holds."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gainstage as gs
from gainstage.records import Severity

X, Y = torch.randn(32, 8, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 4


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))


def adam(*parameters) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for group in parameters for p in group], lr=1e-3)


def found(model: nn.Module, optimizer: torch.optim.Optimizer | None = None, loss=F.cross_entropy, x=X):
    diagnosis = gs.check(model, x, Y, loss=loss, optimizer=optimizer)
    return {f.code: f.severity for f in diagnosis.findings if f.code in ("GS205", "GS704", "GS705", "GS706", "GS707")}


class Listed(nn.Module):
    """Hidden layers in a container of the given kind."""

    def __init__(self, hold) -> None:
        super().__init__()
        self.layers = hold([nn.Linear(8, 8) for _ in range(3)])
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        layers = self.layers.values() if isinstance(self.layers, dict) else self.layers
        for layer in layers:
            x = layer(x).relu()
        return self.head(x)


class Raw(nn.Module):
    """A weight that is a plain tensor."""

    def __init__(self, registered: bool) -> None:
        super().__init__()
        weight = torch.randn(8, 4) / 3
        self.weight = nn.Parameter(weight) if registered else weight.requires_grad_()

    def forward(self, x):
        return x @ self.weight


class Differentiating(nn.Module):
    """Asks for the gradient by its input on the way, as physics-informed networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))

    def forward(self, x):
        x = x.detach().clone().requires_grad_()
        u = self.body(x)
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return u + du[:, :4]


@pytest.mark.parametrize("hold", [list, tuple, lambda layers: {str(i): layer for i, layer in enumerate(layers)}])
def test_layers_that_are_not_registered(hold):
    model = Listed(hold)
    assert found(model) == {"GS205": Severity.ERROR}
    assert found(model, adam(model.parameters())) == {"GS205": Severity.ERROR}


def test_a_plain_tensor_that_trains():
    assert found(Raw(registered=False)) == {"GS205": Severity.ERROR}
    model = Raw(registered=False)
    assert found(model, adam([model.weight])) == {"GS205": Severity.NOTE}


@pytest.mark.parametrize("model", [Listed(nn.ModuleList), Raw(registered=True), Differentiating(), net()])
def test_registered_weights_are_not_flagged(model):
    assert found(model) == {}
    assert found(model, adam(model.parameters())) == {}


def test_an_input_that_asks_for_a_gradient_is_no_weight():
    assert found(net(), x=X.clone().requires_grad_()) == {}


def test_weights_of_the_loss_are_the_losss_own():
    class Margin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, output, target):
            return F.cross_entropy(output * self.scale, target)

    model, loss = net(), Margin()
    assert found(model, adam(model.parameters(), loss.parameters()), loss) == {}


def test_a_new_head_that_the_optimizer_lacks():
    model = net()
    optimizer = adam(model.parameters())
    model[4] = nn.Linear(16, 4)
    assert found(model, optimizer) == {"GS704": Severity.WARNING, "GS705": Severity.WARNING}


def test_a_head_alone_on_a_fixed_body():
    model = net()
    assert found(model, adam(model[4].parameters())) == {"GS704": Severity.NOTE}
    model[:4].requires_grad_(False)
    assert found(model, adam(model[4].parameters())) == {}


def test_an_optimizer_of_another_model():
    assert found(net(), adam(net().parameters())) == {"GS704": Severity.ERROR, "GS705": Severity.WARNING}


def test_parameters_held_twice():
    model = net()
    with pytest.warns(UserWarning, match="duplicate"):
        optimizer = adam(model[0].parameters(), model.parameters())
    assert found(model, optimizer) == {"GS706": Severity.WARNING}


def test_a_rate_of_zero():
    model = net()
    assert found(model, torch.optim.SGD(model.parameters(), lr=0.0)) == {"GS707": Severity.WARNING}
    groups = [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2:].parameters()}]
    assert found(model, torch.optim.SGD(groups, lr=0.1)) == {"GS707": Severity.NOTE}


def test_a_gradient_that_is_cut_everywhere_is_an_error():
    class Cut(nn.Module):
        def __init__(self, how) -> None:
            super().__init__()
            self.body, self.how = net(), how

        def forward(self, x):
            return self.how(self.body, x)

    def without(body, x):
        with torch.no_grad():
            return body(x)

    for how in (without, lambda body, x: body(x).detach()):
        diagnosis = gs.check(Cut(how), X, Y, loss=F.cross_entropy)
        assert [(f.code, f.severity) for f in diagnosis.findings if f.severity is Severity.ERROR] == [
            ("GS204", Severity.ERROR)
        ]
    frozen = net().requires_grad_(False)
    diagnosis = gs.check(frozen, X, Y, loss=F.cross_entropy)
    assert {u.code: u.reason for u in diagnosis.unjudged}["GS204"] == "nothing is trainable"
    assert not diagnosis.judged
