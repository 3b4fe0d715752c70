"""Assertions for tests of models, and the plugin of pytest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from torch import nn

from gainstage.errors import InputError
from gainstage.testing import assert_healthy, assert_start

X = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))


def net(depth=3, activation=nn.ReLU, draw=nn.init.kaiming_normal_, width=32):
    sizes = [16, *[width] * depth]
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    for layer in layers:
        draw(layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*[part for layer in layers for part in (layer, activation())], nn.Linear(width, 4))


def test_a_healthy_start_passes_and_its_diagnosis_is_returned():
    torch.manual_seed(0)
    assert assert_healthy(net(), X).ok


def test_a_sick_start_fails_with_the_finding_its_place_and_its_cure():
    torch.manual_seed(0)
    with pytest.raises(AssertionError, match="GS") as failure:
        assert_healthy(net(12, nn.Sigmoid, nn.init.xavier_normal_), X)
    assert "remedy" in str(failure.value)


def test_findings_can_be_left_out_and_what_cannot_be_judged_fails():
    torch.manual_seed(0)
    sick = net(12, nn.Sigmoid, nn.init.xavier_normal_)
    assert assert_healthy(sick, X, ignore=["GS"]).judged
    with pytest.raises(AssertionError):
        assert_healthy(nn.Sequential(nn.Flatten()), X)
    with pytest.raises(InputError, match="fail_on is one of"):
        assert_healthy(sick, X, fail_on="never")


def test_an_unchanged_start_passes_whatever_the_seed(tmp_path):
    golden = tmp_path / "deep" / "start.json"
    for seed in range(4):
        torch.manual_seed(seed)
        assert_start(net, golden, X)
    record = json.loads(golden.read_text())
    assert record["parameters"]["0.weight"]["role"] == "hidden"
    assert record["parameters"]["0.bias"]["spread"] == {"mean": None, "deviation": 0.0}
    assert len(record["levels"]) == 4


CHANGES = {
    "another rule": (lambda: net(draw=nn.init.xavier_normal_), "0.weight: spread"),
    "a bias that is drawn": (lambda: drawn_bias(net()), "2.bias: spread 0 →"),
    "another width": (lambda: net(width=40), r"shape \[32, 16\] → \[40, 16\]"),
    "another activation": (lambda: net(activation=nn.Tanh), "root mean square of the output"),
    "another depth": (lambda: net(depth=4), "this parameter is new"),
}


def drawn_bias(model):
    nn.init.normal_(model[2].bias, std=0.01)
    return model


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_named(change, tmp_path):
    build, told = CHANGES[change]
    torch.manual_seed(0)
    assert_start(net, tmp_path / "start.json", X)
    with pytest.raises(AssertionError, match=told):
        assert_start(build, tmp_path / "start.json", X)


def test_the_environment_writes_the_file_anew(tmp_path, monkeypatch):
    golden = tmp_path / "start.json"
    torch.manual_seed(0)
    assert_start(net, golden, X)
    before = golden.read_text()
    monkeypatch.setenv("GAINSTAGE_UPDATE", "1")
    assert_start(lambda: net(width=40), golden, X)
    assert golden.read_text() != before
    monkeypatch.delenv("GAINSTAGE_UPDATE")
    assert_start(lambda: net(width=40), golden, X)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"gainstage_start": 9, "draws": 8}', '{"gainstage_start": 1}'])
def test_a_file_that_is_no_golden_file_is_refused(content, tmp_path):
    golden = tmp_path / "start.json"
    golden.write_text(content)
    with pytest.raises(InputError, match="is no golden file"):
        assert_start(net, golden, X, draws=3)


@pytest.mark.parametrize("draws", [2, 0, True, 3.5])
def test_too_few_draws_are_refused(draws, tmp_path):
    with pytest.raises(InputError, match="at least 3"):
        assert_start(net, tmp_path / "start.json", X, draws=draws)
    with pytest.raises(InputError, match="build makes a model"):
        assert_start("net", tmp_path / "start.json", X)


def pytest_in(folder, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "GAINSTAGE_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "gainstage.testing.plugin", "-p", "no:cacheprovider", *arguments],
        cwd=folder, env=environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_the_plugin_imports_nothing_until_it_is_used_and_hands_its_option_on(tmp_path):
    (tmp_path / "test_one.py").write_text(
        "import os, sys\n"
        "def test_light():\n"
        "    assert 'gainstage.testing.plugin' in sys.modules\n"
        "    heavy = {'torch', 'numpy', 'keras', 'rich', 'scipy', 'gainstage.workflows', 'gainstage.records'}\n"
        "    assert not heavy & set(sys.modules)\n"
        "    assert 'GAINSTAGE_UPDATE' not in os.environ\n"
    )
    done = pytest_in(tmp_path)
    assert done.returncode == 0, done.stdout
    (tmp_path / "test_one.py").write_text(
        "import os\ndef test_told():\n    assert os.environ['GAINSTAGE_UPDATE'] == '1'\n"
    )
    assert pytest_in(tmp_path, "--gainstage-update").returncode == 0
