"""Real trainings of Lightning under a watch. Lightning is imported by the tests alone: it takes seconds."""

from __future__ import annotations

import logging
import runpy
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import gainstage as gs
from gainstage.errors import InputError, TrainingError

pytestmark = pytest.mark.filterwarnings("ignore:.*")  # Lightning's advice about loaders, and deprecations inside of it

EXAMPLES = Path(__file__).parents[2] / "examples"
X = torch.randn(320, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def lightning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import lightning

        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        yield lightning


def network(lightning, kind: str, dead: bool = False):
    class Module(lightning.LightningModule):
        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)

    class Autoencoder(Module):  # the training step calls two parts, and never the module itself
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))
            self.decoder = nn.Linear(3, 8)

        def training_step(self, batch, index):
            loss = F.mse_loss(self.decoder(self.encoder(batch[0])), batch[0])
            self.log("loss", loss)
            return loss

    class Forward(Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 1)

        def forward(self, x):
            return self.last(torch.relu(self.first(x)))

        def training_step(self, batch, index):
            return self(batch[0]).square().mean()

    class Sampled(Autoencoder):  # something stands between the parts
        def training_step(self, batch, index):
            code = self.encoder(batch[0])
            return F.mse_loss(self.decoder(code + torch.randn_like(code)), batch[0])

    torch.manual_seed(0)
    made = {"autoencoder": Autoencoder, "forward": Forward, "sampled": Sampled}[kind]()
    if dead:
        nn.init.constant_(made.first.bias, -100.0)
    return made


def trainer(lightning, callbacks, epochs=2, **settings):
    settings = {"gradient_clip_val": 1e-2} | settings
    return lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=callbacks, **settings,
    )  # fmt: skip


def loader():
    return DataLoader(TensorDataset(X), batch_size=32, shuffle=True, generator=torch.Generator().manual_seed(0))


def bytes_of(model):
    return [p.detach().numpy().tobytes() for p in model.parameters()]


@pytest.fixture
def callback(lightning):
    from gainstage.integrations.lightning import WatchCallback

    return lambda **choices: WatchCallback(**{"to": None, "on_finding": "collect"} | choices)


@pytest.mark.parametrize(
    ("kind", "paths"),
    [("autoencoder", {"encoder.0", "encoder.1", "encoder.3", "decoder"}), ("forward", {"first", "relu", "last"})],
)
def test_layers_are_seen_and_weights_are_the_same_bytes(lightning, callback, kind, paths):
    plain, watched, watching = network(lightning, kind), network(lightning, kind), callback()
    for model, callbacks in ((plain, []), (watched, [watching])):
        torch.manual_seed(1)
        trainer(lightning, callbacks).fit(model, loader())
    history = watching.watch.history
    assert bytes_of(plain) == bytes_of(watched)
    assert [step.step for step in history.steps] == list(range(1, 21))
    assert history.start is not None
    assert history.notes == ()
    assert {layer.path for layer in history.looks[0].layers} == paths
    assert all(layer.gradient is not None for look in history.looks for layer in look.layers)
    # Read before Lightning clips to 0.01.
    assert history.steps[0].gradient > 0.02
    assert history.steps[0].gradient * history.steps[0].kept == pytest.approx(0.01, rel=0.01)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in watched.modules())


def test_parts_with_something_between_them_are_no_network(lightning, callback):
    watching = callback()
    trainer(lightning, [watching], epochs=1).fit(network(lightning, "sampled"), loader())
    history = watching.watch.history
    assert len(history.steps) == 10
    assert history.start is None
    assert not history.looks
    assert any("parts of the model one by one" in note for note in history.notes)


def test_the_first_batch_is_checked_and_the_run_is_refused(lightning, callback, capsys):
    model = network(lightning, "forward", dead=True)
    before, watching = bytes_of(model), callback(refuse=True, on_finding="warn")
    with pytest.raises(TrainingError, match="refused before its first step"):
        trainer(lightning, [watching]).fit(model, loader())
    assert bytes_of(model) == before
    assert watching.watch.start.worst is gs.Severity.ERROR
    lines = [line for line in capsys.readouterr().err.splitlines() if "before the first step" in line]
    assert len(lines) == 1
    assert not any(module._forward_hooks for module in model.modules())


def test_a_checkpoint_of_the_trainer_holds_the_watch(lightning, callback, tmp_path):
    first = trainer(lightning, [callback()], epochs=1)
    first.fit(network(lightning, "autoencoder"), loader())
    first.save_checkpoint(tmp_path / "kept.ckpt")
    watching = callback()
    second = trainer(lightning, [watching], epochs=2)
    second.fit(network(lightning, "autoencoder"), loader(), ckpt_path=tmp_path / "kept.ckpt", weights_only=True)
    assert [step.step for step in watching.watch.history.steps] == list(range(1, 21))
    assert watching.watch.history.steps[:10] == first.callbacks[0].watch.history.steps


def test_an_exception_in_the_loop_removes_the_watch(lightning, callback):
    model, watching = network(lightning, "forward"), callback()
    model.on_train_batch_end = lambda outputs, batch, index: 1 / (5 - index)
    with pytest.raises(ZeroDivisionError):
        trainer(lightning, [watching]).fit(model, loader())
    assert any("ZeroDivisionError" in note for note in watching.watch.history.notes)
    assert not any(module._forward_hooks for module in model.modules())


def test_an_argument_that_the_watch_does_not_have_is_refused_at_once(callback):
    with pytest.raises(InputError, match=r"no argument evry.*every"):
        callback(evry=10)


def test_the_example_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "watch_lightning.py"), run_name="__main__")
    assert "steps of Autoencoder under Adam: nothing was found." in capsys.readouterr().out
    assert gs.load("gainstage-history.jsonl").finished
