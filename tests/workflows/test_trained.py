"""No fresh start is taken for a trained network, and trained ones are not judged as starts."""

from __future__ import annotations

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import gainstage as gs
from gainstage import rules
from gainstage.backends.torch import record
from gainstage.cli.app import gainstage
from gainstage.rules.trained import trained_evidence
from zoo.networks import MLP

SEEDS = range(20)
OF_STARTS = {rule.code for rule in rules.all_rules() if rule.of_starts}


def data(examples: int = 64):
    """Two clusters an axis: easy to learn."""
    y = torch.randint(0, 4, (examples,))
    return 0.5 * torch.randn(examples, 64) + 2 * torch.eye(4, 64)[y], y


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3),
        nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4),
    )  # fmt: skip


def dcgan() -> nn.Module:
    """Scales of norms are drawn around one, as DCGAN does; the shifts are zero."""
    model = convolutional()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
    return model


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 32), nn.LayerNorm(32),
                         nn.Linear(32, 4))  # fmt: skip


def loud() -> nn.Module:
    """Logits of spread ten: confident, mostly wrong, and sometimes right."""
    model = MLP(64, 32, 4)
    nn.init.normal_(model[-1].weight, std=3.0)
    return model


STARTS = {"mlp": lambda: MLP(64, 32, 32, 4), "convolutional": convolutional, "dcgan": dcgan, "normed": normed,
          "loud": loud}  # fmt: skip


@pytest.mark.parametrize("name", STARTS)
def test_of_a_hundred_fresh_starts_none_is_taken_for_trained(name):
    for seed in SEEDS:
        torch.manual_seed(seed)
        model, (x, y) = STARTS[name](), data(8 + 8 * (seed % 4))
        optimizer = torch.optim.Adam(model.parameters())
        profile = record(model, x, y, loss=nn.functional.cross_entropy, optimizer=optimizer, detail="lean")
        assert trained_evidence(profile) == "", seed


def trained(name: str, steps: int = 60):
    torch.manual_seed(0)
    model = STARTS[name]()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        x, y = data()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("name", STARTS)
def test_a_trained_network_is_recognised_by_its_loss_and_not_judged_as_a_start(name):
    model, _ = trained(name)
    x, y = data()
    found = gs.check(model, x, y, loss="cross_entropy")
    assert found.trained.startswith("the loss is")
    assert {u.code for u in found.unjudged} >= OF_STARTS
    assert "Trained" in str(found)
    assert found.ok, str(found)


@pytest.mark.parametrize("name", ["convolutional", "normed"])
def test_without_labels_norms_tell_it(name):
    model, _ = trained(name)
    assert "normalisations" in gs.check(model, data()[0]).trained


def test_an_optimizer_that_has_made_steps_tells_it():
    model, optimizer = trained("mlp", steps=3)
    x, y = data()
    assert gs.check(model, x, y, loss="cross_entropy", optimizer=optimizer).trained == "the optimizer has made 3 steps"


def test_the_caller_decides_where_he_knows():
    model, (x, y) = MLP(64, 32, 4), data()
    nn.init.normal_(model[-1].weight, std=30.0)
    fresh = gs.check(model, x, y, loss="cross_entropy")
    assert {f.code for f in fresh.findings} & OF_STARTS
    said = gs.check(model, x, y, loss="cross_entropy", trained=True)
    assert not {f.code for f in said.findings} & OF_STARTS
    wise, _ = trained("mlp")
    assert gs.check(wise, x, y, loss="cross_entropy", trained=False).trained == ""


def test_the_rest_still_speaks_about_a_trained_network():
    model, _ = trained("mlp")
    x, y = data()
    with torch.no_grad():
        model[0].bias.fill_(-100.0)  # every unit of the first layer is dead now
    found = gs.check(model, x, y, loss="cross_entropy", trained=True)
    assert not found.ok
    assert not {f.code for f in found.findings} & OF_STARTS


def test_a_checkpoint_is_checked_on_the_command_line(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\ndef build():\n"
        "    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))\n"
    )
    call = ["check", f"{tmp_path / 'net.py'}:build", "--data", "digits", "--weights", str(tmp_path / "weights.pt")]
    for option, said in (("--trained", True), ("--untrained", False)):
        result = CliRunner().invoke(gainstage, [*call, option])
        assert result.exit_code == 0, result.output
        assert ("rules about starts keep silent" in result.output) is said
