"""Files that are written: nothing of the user's is lost, and weights can be read back."""

from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from gainstage.backends.torch.models.weight_files import load_weights
from gainstage.errors import InputError

COMMANDS = {
    "check --html": ["check", "mlp:4x3x2", "--html"],
    "plan --html": ["plan", "mlp:4x3x2", "--html"],
    "init --out": ["init", "mlp:4x3x2", "--scheme", "he_normal", "--out"],
    "fix --out": ["fix", "mlp:4x3x2", "--out"],
    "ask --notebook": ["ask", "1", "--notebook"],
    "demo --out": ["demo", "--out"],
    "compare --svg": ["compare", "mlp:64x10", "--data", "digits", "--svg"],
}


@pytest.mark.parametrize("case", COMMANDS)
def test_what_gainstage_did_not_write_is_not_replaced(run, tmp_path, case):
    mine = tmp_path / ("mine.safetensors" if case.endswith("--out") and "demo" not in case else "mine.py")
    mine.write_text("my work\n")
    done = run(*COMMANDS[case], mine.name)
    assert (done.code, done.out) == (2, "")
    assert "no file that gainstage wrote" in done.err
    assert mine.read_text() == "my work\n"


def test_force_replaces_and_own_files_are_replaced_without(run, tmp_path):
    (tmp_path / "page.html").write_text("mine")
    assert run("plan", "mlp:4x2", "--html", "page.html").code == 2
    assert run("plan", "mlp:4x2", "--html", "page.html", "--force").code == 0
    assert run("plan", "mlp:4x2", "--html", "page.html").code == 0
    words = ["init", "mlp:4x2", "--scheme", "he_normal", "--out", "w.safetensors"]
    assert [run(*words).code, run(*words).code] == [0, 0]


@pytest.mark.parametrize("file", ["w.safetensors", "w.pt"])
def test_weights_that_were_written_can_be_checked(run, tmp_path, file):
    model = "mlp:8x8x3"
    assert run("init", model, "--scheme", "zeros", "--out", file).code == 0
    silent, drawn = run("check", model, "--weights", file), run("check", model)
    assert silent.out != drawn.out
    other = run("check", "mlp:8x9x3", "--weights", file)
    assert (other.code, other.out) == (2, "")
    assert "does not fit" in other.err


def test_a_file_of_weights_is_no_model(run):
    assert "--weights m.pt" in run("check", "m.pt").err


class Runs:
    def __reduce__(self):
        return (print, ("CODE RAN",))


def test_no_code_of_a_file_is_run(tmp_path, capsys):
    path = tmp_path / "evil.pt"
    torch.save({"state_dict": {"weight": Runs()}}, path)
    with pytest.raises(InputError, match="could run code"):
        load_weights(nn.Linear(2, 2), path)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Runs()))
    with pytest.raises(InputError):
        load_weights(nn.Linear(2, 2), tmp_path / "plain.pt")
    assert "CODE RAN" not in capsys.readouterr().out


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", None])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_checkpoints_of_trainings_are_read(tmp_path, key, prefix):
    source, model = nn.Linear(3, 2), nn.Linear(3, 2)
    state = {f"{prefix}{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save(state if key is None else {key: state, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "c.pt")
    load_weights(model, tmp_path / "c.pt")
    assert torch.equal(model.weight, source.weight)


def test_tied_weights_are_written_once_and_read_back(tmp_path):
    from gainstage.backends.torch.writing.save import save_weights

    def tied():
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model

    source, model = tied(), tied()
    save_weights(source, tmp_path / "w.safetensors")
    assert len(load_file(tmp_path / "w.safetensors")) == 3
    load_weights(model, tmp_path / "w.safetensors")
    assert torch.equal(model[1].weight, source[0].weight)
