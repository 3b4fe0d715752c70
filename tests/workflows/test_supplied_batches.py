"""Loaders, arrays of any precision, batches with NaN, lazy and compiled models, and extreme numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gainstage as gs
from gainstage.backends.torch.tracing.fitting import fitting_batch
from gainstage.errors import InputError, MissingPackageError, ModelError

X, Y = torch.randn(32, 20, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 5


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 16), nn.Tanh(), nn.Linear(16, 5))


FUNCTIONS = {
    "check": lambda m, x: gs.check(m, x),
    "fix": lambda m, x: gs.fix(m, x),
    "plan": lambda m, x: gs.plan(m, "auto", x=x),
    "initialize": lambda m, x: gs.initialize(m, "auto", x=x),
    "predict": lambda m, x: gs.predict(m, x, plan="auto"),
    "trace": lambda m, x: gs.trace(m, x),
    "parameter_groups": lambda m, x: gs.parameter_groups(m, x, learning_rate=0.1, base_width=8),
}

BATCHES = {
    "loader": DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True),
    "dataset": TensorDataset(X, Y),
    "double array": X.double().numpy(),
    "double tensor": X.double(),
    "bytes": X.mul(20).add(128).to(torch.uint8).numpy(),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("batch", BATCHES)
def test_every_function_takes_every_batch(function, batch):
    model = net()
    before = torch.get_rng_state()
    FUNCTIONS[function](model, BATCHES[batch])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if f != "parameter_groups"])
def test_every_function_refuses_a_batch_with_nan_and_says_where(function):
    bad, model = X.clone(), net()
    bad[3, 4] = torch.nan
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(InputError, match=r"first at index \(3, 4\)"):
        FUNCTIONS[function](model, bad)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_takes_a_compiled_and_a_lazy_model(function):
    lazy = nn.Sequential(nn.LazyLinear(16), nn.Tanh(), nn.LazyLinear(5))
    for model in (torch.compile(net(), backend="eager"), lazy):
        FUNCTIONS[function](model, X)


def test_labels_of_a_loader_come_with_it():
    loader = DataLoader(TensorDataset(X, Y), batch_size=16)
    assert gs.check(net(), loader).profile.task.loss.kind == "cross_entropy"
    values = DataLoader(TensorDataset(X, torch.randn(32, 5)), batch_size=16)
    assert gs.check(net(), values).profile.task.loss.kind == "mse"
    with pytest.raises(InputError, match="come with it"):
        gs.check(net(), loader, Y, loss="mse")
    with pytest.raises(InputError, match="empty"):
        gs.check(net(), DataLoader(TensorDataset(X[:0], Y[:0])))


def test_what_a_model_takes_is_not_cast():
    class Casts(nn.Linear):
        def forward(self, x):
            assert x.dtype == torch.float64
            return super().forward(x.float())

    assert fitting_batch(X.double(), Casts(20, 5)).tensors[0][1].dtype == torch.float64
    assert fitting_batch(X, net().bfloat16()).tensors[0][1].dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fitting_batch(X.bfloat16(), net()).tensors[0][1].dtype == torch.bfloat16


LABELS = {
    "too few": (Y[:20], "(20,)"),
    "out of range": (Y + 4, "int64"),
    "values for classes": (Y.float(), "float32"),
    "an axis too many": (Y[:, None], "(32, 1)"),
    "missing": (None, "labels are missing. Pass y"),
}


@pytest.mark.parametrize("case", LABELS)
def test_a_loss_that_raises_is_told_with_what_it_was_given(case):
    labels, message = LABELS[case]
    with pytest.raises(ModelError) as caught:
        gs.check(net(), X, labels, loss=F.cross_entropy)
    assert message in str(caught.value)
    assert "(32, 5)" in str(caught.value)


def test_narrow_labels_are_classes_too():
    for labels in (Y.int(), Y.numpy().astype("int16")):
        assert gs.check(net(), X, labels, loss=F.cross_entropy).profile.task.loss.kind == "cross_entropy"


@pytest.mark.parametrize("seed", [-1, 2**64, 2**80, 1.5, "a", True, None])
def test_seeds_out_of_range_are_refused(seed):
    for use in (
        lambda: gs.check(net(), X, seed=seed),
        lambda: gs.plan(net(), "he_normal", seed=seed),
        lambda: gs.initialize(net(), "he_normal", seed=seed),
        lambda: gs.fix(net(), X, seed=seed),
    ):
        with pytest.raises(InputError, match="seed"):
            use()


def test_whole_numbers_of_numpy_are_seeds():
    assert gs.plan(net(), "he_normal", seed=np.int64(3)).seed == 3
    assert gs.check(net(), X, seed=2**64 - 1).ok


class Scan(nn.Module):
    """A state-space recurrence whose moments leave the range of numbers on the way."""

    def __init__(self):
        super().__init__()
        self.rates = nn.Parameter(torch.log(torch.arange(1, 9.0)).repeat(32, 1))
        self.step = nn.Linear(32, 32)

    def forward(self, x):
        step, state = F.softplus(self.step(x)), 0
        for _ in range(24):
            state = torch.exp(step[..., None] * -self.rates.exp()) * state + x[..., None]
        return state.sum(-1)


def test_moments_beyond_numbers_are_a_doubt_and_no_exception():
    profile = gs.predict(Scan(), torch.randn(8, 32))
    assert any("too large" in note.message for note in profile.notes)


def test_a_framework_that_is_missing_is_named_with_its_extra(monkeypatch):
    import gainstage.backends.presence as presence
    import gainstage.backends.protocol.finding as finding

    monkeypatch.setattr(presence, "is_installed", lambda package: False)
    monkeypatch.setattr(finding, "is_installed", lambda package: False)
    with pytest.raises(MissingPackageError, match=r"gainstage\[torch\]"):
        gs.check(object(), 1)
    with pytest.raises(MissingPackageError, match=r"pip install 'gainstage\[torch\]'"):
        finding.workbench_of("torch")


def test_gains_take_settings_in_every_form():
    wanted = gs.gain("leaky_relu", negative_slope=0.2)
    assert gs.gain("leaky_relu,negative_slope=0.2") == wanted
    with pytest.raises(InputError, match="negative_slope"):
        gs.gain("leaky_relu", 0.2)
    with pytest.raises(InputError, match="Cannot read"):
        gs.gain("leaky_relu,0.2")


def test_a_page_of_others_and_a_bomb_are_refused(tmp_path, monkeypatch):
    import base64
    import zlib

    from gainstage.report import carried

    monkeypatch.setattr(carried, "MOST", 1 << 16)
    (tmp_path / "page.html").write_text("<p>hello</p>")
    with pytest.raises(InputError, match="none that gainstage wrote"):
        gs.load(tmp_path / "page.html")
    packed = base64.b64encode(zlib.compress(b"0" * (carried.MOST + 1), 9)).decode()
    with pytest.raises(InputError, match="more than"):
        gs.loads(f"<!doctype html>{carried._OPENING}{packed}</script>")


def test_an_archive_that_claims_too_much_is_refused(tmp_path, monkeypatch):
    from gainstage.data import sources

    np.savez_compressed(tmp_path / "big.npz", x=np.zeros((1000, 100)), y=np.zeros(1000))
    monkeypatch.setattr(sources, "MOST", 1 << 16)
    with pytest.raises(InputError, match="GiB"):
        sources.from_file(tmp_path / "big.npz")
