"""What goes wrong is one clear line on stderr and exit code 2; never a traceback unless it is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from gainstage.cli.app import COMMANDS

CASES = {
    "unknown command": (["chek"], "Unknown command 'chek'. Did you mean 'check'?"),
    "unknown option": (["check", "mlp:4x2", "--bach", "3"], "--bach"),
    "no model": (["check"], "MODEL"),
    "no such source": (["check", "resnet50"], "names no model"),
    "not a number": (["check", "mlp:4x2", "--batch-size", "many"], "'many'"),
    "empty batch": (["check", "mlp:4x2", "--batch-size", "0"], "0 is not in the range"),
    "negative seed": (["check", "mlp:4x2", "--seed", "-1"], "-1 is not in the range"),
    "input unknown": (["check", "torch.nn:Identity"], "--input 3,224,224"),
    "input unreadable": (["check", "mlp:4x2", "--input", "3;4"], "Cannot read the input '3;4'"),
    "input does not fit": (["check", "mlp:4x2", "--input", "5"], "mat1 and mat2"),
    "tokens without embedding": (["check", "mlp:4x2", "--input", "ids:4"], "no embedding"),
    "unknown activation": (["check", "mlp:4x3x2,act=rleu"], "Did you mean 'relu'"),
    "unknown data": (["check", "mlp:4x2", "--data", "mnst"], "Did you mean 'mnist'"),
    "no such file": (["check", "mlp:4x2", "--data", "absent.npz"], "no data file 'absent.npz'"),
    "data does not fit": (["check", "mlp:4x2", "--data", "digits"], "64 values"),
    "labels out of range": (["check", "mlp:64x2", "--data", "digits"], "Labels go from 0 to 9"),
    "loss without labels": (["check", "mlp:4x2", "--loss", "mse"], "needs labels"),
    "unknown loss": (["check", "mlp:64x10", "--data", "digits", "--loss", "cross_entrpy"], "'cross_entropy'"),
    "optimizer without rate": (["check", "mlp:4x2", "--optimizer", "adam"], "without --lr"),
    "rate without optimizer": (["check", "mlp:4x2", "--lr", "0.1"], "without --optimizer"),
    "unknown optimizer": (["check", "mlp:4x2", "--optimizer", "adm", "--lr", "0.1"], "Did you mean 'adam'"),
    "negative rate": (["check", "mlp:4x2", "--optimizer", "adam", "--lr", "-1"], "positive number"),
    "no such device": (["check", "mlp:4x2", "--device", "gpu"], "device 'gpu' cannot be used"),
    "unknown format": (["check", "mlp:4x2", "--format", "yaml"], "'yaml'"),
    "unknown scheme": (["plan", "mlp:4x2", "--scheme", "he_norml"], "Did you mean 'he_normal'"),
    "unreadable override": (["plan", "mlp:4x2", "--override", "head"], "Cannot read the override 'head'"),
    "pattern matches nothing": (["plan", "mlp:4x2", "--override", "haed.*=zeros"], "matches none"),
    "init to nowhere": (["init", "mlp:4x2"], "--out weights.safetensors"),
    "unknown suffix": (["init", "mlp:4x2", "--out", "weights.bin"], ".safetensors"),
    "no such directory": (["init", "mlp:4x2", "--out", "absent/w.pt"], "no directory 'absent'"),
    "fix to nowhere": (["fix", "mlp:4x2", "--out", "absent/w.pt"], "no directory 'absent'"),
    "demo to nowhere": (["demo", "--out", "absent/demo.svg"], "no directory 'absent'"),
    "page to nowhere": (["check", "mlp:4x2", "--html", "absent/page.html"], "no directory 'absent'"),
    "start as it was once called": (
        ["compare", "mlp:64x10", "--data", "digits", "--schemes", "defaul"],
        "Unknown scheme",
    ),
    "unknown rule": (["rule", "GS999999"], "GS999999"),
    "unknown gain": (["gain", "rleu"], "Did you mean 'relu'"),
    "not configured": (["check", "hf:gpt2,n_layers=1"], "Did you mean 'n_layer'"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_failure_is_one_line_and_a_hint(run, case):
    words, message = CASES[case]
    result = run(*words)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    lines = result.err.strip().splitlines()
    assert lines[0].startswith("gainstage: ")
    assert len(lines) <= 2
    assert "Traceback" not in result.err
    assert "not expected" not in result.err


def test_a_page_replaces_a_page_and_nothing_else(run, tmp_path):
    source = tmp_path / "net.py"
    source.write_text("build = None\n")
    result = run("plan", "mlp:4x2", "--html", "net.py")
    assert (result.code, source.read_text()) == (2, "build = None\n")
    assert "is no file that gainstage wrote" in result.err
    assert [run("plan", "mlp:4x2", "--html", "page.html").code for _ in range(2)] == [0, 0]


def test_data_with_nan_is_refused(run, tmp_path):
    np.savez(tmp_path / "set.npz", x=np.array([[1.0, np.nan]]), y=np.array([0]))
    result = run("check", "mlp:2x2", "--data", "set.npz")
    assert result.code == 2
    assert "NaN" in result.err


def test_a_model_that_raises_is_named_with_its_own_error(run, tmp_path):
    (tmp_path / "net_that_raises.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Linear):\n"
        "    def __init__(self): super().__init__(2, 2)\n"
        "    def forward(self, x): raise KeyError('no such branch')\n"
    )
    result = run("check", "net_that_raises.py:Net", "--input", "2")
    assert result.code == 2
    assert "no such branch" in result.err


def test_traceback_is_shown_on_request(run):
    for result in (run("gain", "rleu", "--traceback"), run("gain", "rleu", GAINSTAGE_TRACEBACK="1")):
        assert result.code == 2
        assert "Traceback (most recent call last)" in result.err
        assert "UnknownNameError" in result.err


def test_a_defect_of_gainstage_says_that_it_is_one(run, monkeypatch):
    def broken(*names):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("gainstage.rules.all_rules", broken)
    result = run("rule")
    assert result.code == 2
    assert result.err.splitlines()[0] == "gainstage: ZeroDivisionError: oh"
    assert "report" in result.err


def test_interrupted_is_130(run, monkeypatch):
    def interrupt(*names):
        raise KeyboardInterrupt

    monkeypatch.setattr("gainstage.rules.all_rules", interrupt)
    result = run("rule")
    assert result.code == 130
    assert "interrupted" in result.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example_and_ends_well(run, command):
    result = run(command, "--help")
    assert result.code == 0
    described = result.out.split(" Options ", 1)[0]
    assert described.count(f"gainstage {command}") >= 2  # in the usage line, and in an example at least


def test_help_says_that_code_is_run(run):
    for command in ("check", "fix", "plan", "init"):
        assert "RUN" in run(command, "--help").out
