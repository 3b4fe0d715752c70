"""Learning one batch by heart: success is said, failure is explained, and nothing of the model changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.backends.shared import overfitting
from gainstage.errors import InputError
from zoo.networks import MLP

LOSS = "cross_entropy"


def batch(examples: int = 16, size: int = 32):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(examples, size, generator=generator), torch.randint(0, 10, (examples,), generator=generator)


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (2, 4, 4)), nn.Conv2d(2, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.2),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(8, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        return self.head(self.layer(self.embed(x.unflatten(1, (4, 8)))).mean(1))


class Detached(nn.Module):
    """The gradient is cut in the middle, and the last layer is frozen: nothing that matters can move."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(32, 32), nn.Linear(32, 10).requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.last(torch.relu(self.first(x)).detach() * self.scale)


HEALTHY = [lambda: MLP(32, 64, 64, 10), convolutional, Attention, lambda: nn.Linear(32, 10)]


@pytest.mark.parametrize("build", HEALTHY)
def test_healthy_networks_learn_a_batch_and_are_left_bit_for_bit(build):
    torch.manual_seed(0)
    model, (x, y) = build(), batch()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    steps = []
    found = gs.check(model, x, y, loss=LOSS, overfit=True, on_progress=lambda step, _: steps.append(step))
    assert found.profile.overfit.outcome == "learned"
    assert steps == [*range(1, len(steps) + 1)]
    assert "learned by heart" in str(found)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert "GS711" in found.passed


def test_a_loss_that_needs_no_labels_and_a_regression_are_learned():
    torch.manual_seed(0)
    x, _ = batch()
    target = x[:, :3].sum(1, keepdim=True) / 3**0.5
    found = gs.check(MLP(32, 64, 1), x, target, loss="mse", overfit=True)
    assert found.profile.overfit.outcome == "learned"


def codes(findings) -> list[str]:
    return [code for f in findings for code in (f.code, *codes(f.consequences))]


def test_failure_is_explained_by_the_diagnosis():
    torch.manual_seed(0)
    x, y = batch()
    cut = gs.check(Detached(), x, y, loss=LOSS, overfit=True)
    assert cut.profile.overfit.outcome == "stuck"
    assert "GS711" in codes(cut.findings)
    alike = gs.check(MLP(32, 64, 10), torch.ones_like(x), y, loss=LOSS, overfit=True)
    assert alike.profile.overfit.outcome == "stuck"
    assert any("GS711" in codes(f.consequences) for f in alike.findings), "listed under its cause"


def test_the_optimizer_is_named_where_another_one_learns_the_batch():
    torch.manual_seed(0)
    model, (x, y) = MLP(32, 64, 10), batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    found = gs.check(model, x, y, loss=LOSS, optimizer=optimizer, overfit=True)
    assert found.profile.overfit.given_fails
    assert not optimizer.state
    assert "GS711" in codes(found.findings)
    healthy = gs.check(model, x, y, loss=LOSS, optimizer="adam", learning_rate=1e-3, overfit=True)
    assert "GS711" in healthy.passed


def test_time_is_bounded(monkeypatch):
    monkeypatch.setattr(overfitting, "SECONDS", 0.0)
    torch.manual_seed(0)
    x, y = batch()
    found = gs.check(MLP(32, 64, 10), x, y, loss=LOSS, overfit=True)
    assert found.profile.overfit.outcome in ("short", "partly")
    assert found.profile.overfit.best.steps == 1
    assert "GS711" not in codes(found.findings)


def test_without_labels_it_is_refused():
    with pytest.raises(InputError, match="needs a loss"):
        gs.check(nn.Linear(4, 4), torch.randn(8, 4), overfit=True)
