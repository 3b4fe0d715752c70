"""A flag beats the environment, which beats pyproject.toml."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def configure(tmp_path):
    def write(text):
        (tmp_path / "pyproject.toml").write_text(text)

    return write


def seed_of(result):
    assert result.code == 0, result.err
    return json.loads(result.out)["record"]["seed"]


def test_flag_environment_file_default(run, configure):
    plan = ("plan", "mlp:8x4x2", "--scheme", "he_normal", "--json")
    assert seed_of(run(*plan)) == 0
    configure("[tool.gainstage]\nseed = 1\n")
    assert seed_of(run(*plan)) == 1
    assert seed_of(run(*plan, GAINSTAGE_SEED="2")) == 2
    assert seed_of(run(*plan, "--seed", "3", GAINSTAGE_SEED="2")) == 3


def test_a_table_for_one_command_wins_over_the_shared_one(run, configure):
    configure("[tool.gainstage]\nseed = 1\n[tool.gainstage.plan]\nseed = 4\nscheme = 'orthogonal'\n")
    result = run("plan", "mlp:8x4x2", "--json")
    assert seed_of(result) == 4
    assert json.loads(result.out)["record"]["scheme"] == "orthogonal"


def test_lists_flags_and_the_model_itself(run, configure):
    configure(
        "[tool.gainstage]\nmodel = 'mlp:8x4x2'\njson = true\n[tool.gainstage.plan]\noverride = ['head.*=zeros']\n"
        "scheme = 'he_normal'\n"
    )
    result = run("plan")
    assert result.code == 0, result.err
    schemes = {a["parameter"]: a["scheme"] for a in json.loads(result.out)["record"]["assignments"]}
    assert schemes["hidden.0.linear.weight"] == "he_normal"
    assert "zero" in schemes["head.weight"]
    configure("[tool.gainstage]\noverride = 'head.*=zeros'\nscheme = 'he_normal'\njson = true\n")
    assert "zero" in run("plan", "mlp:8x4x2").out


def test_the_nearest_file_above_counts(run, configure, tmp_path, monkeypatch):
    configure("[tool.gainstage]\nseed = 7\n")
    (tmp_path / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "down")
    assert seed_of(run("plan", "mlp:8x4x2", "--scheme", "he_normal", "--json")) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.gainstage]\nbach-size = 3\n", "Did you mean 'batch-size'"),
        ("[tool.gainstage.check]\nscheme = 'auto'\n", "Unknown option 'scheme'"),
        ("[tool.gainstage]\nbatch-size = 'many'\n", "'many'"),
        ("[tool.gainstage\n", "cannot be read"),
        ("[tool]\ngainstage = 3\n", "must be a table"),
    ],
)
def test_a_configuration_that_cannot_be_used(run, configure, text, message):
    configure(text)
    result = run("check", "mlp:4x2")
    assert result.code == 2
    assert message in result.err
    assert len(result.err.strip().splitlines()) <= 2


def test_files_that_say_nothing_are_fine(run, configure):
    configure("[project]\nname = 'x'\n")
    assert run("rule").code == 0
