"""Every command does what it says, on real models and data."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gainstage import load, rules, theory
from gainstage.cli.commands.check import FORMATS
from gainstage.cli.commands.gain import CONVENTIONS
from gainstage.records import Diagnosis, Fixed, Plan
from gainstage.report import formats
from gainstage.report.json import loads

SICK = ("mlp:64x" + "x".join(["64"] * 12) + "x10,act=sigmoid", "--data", "digits", "--batch-size", "256")
HEALTHY = ("mlp:64x128x10,act=relu,norm=batch", "--data", "digits", "--batch-size", "256")


def test_check_finds_the_sick_and_passes_the_healthy(run):
    sick, healthy = run("check", *SICK), run("check", *HEALTHY)
    assert sick.code == 1
    assert "ERROR GS" in sick.out
    assert healthy.code == 0, healthy.out
    assert "ERROR" not in healthy.out
    assert sick.err == healthy.err == ""


def test_fail_on_and_exit_zero(run):
    diagnosis = loads(run("check", *SICK, "--json").out, Diagnosis)
    assert diagnosis.worst == "error"
    for fail_on in ("error", "warning", "note"):
        assert run("check", *SICK, "--fail-on", fail_on).code == 1
        assert run("check", *SICK, "--fail-on", fail_on, "--exit-zero").code == 0
    mild = run("check", *HEALTHY, "--json", "--fail-on", "note")
    assert mild.code == int(bool(loads(mild.out, Diagnosis).findings))


def test_json_prints_also_when_the_exit_code_is_one(run):
    result = run("check", *SICK, "--json")
    assert result.code == 1
    assert json.loads(result.out)["schema_version"] >= 1
    assert run("check", *SICK, "--format", "json").out == result.out


def test_formats_that_machines_read(run):
    assert set(FORMATS) == {"text", "json", *formats.FORMATS}
    sarif = json.loads(run("check", *SICK, "--format", "sarif").out)
    codes = {result["ruleId"] for result in sarif["runs"][0]["results"]}
    assert codes
    assert codes <= {rule.code for rule in rules.all_rules()}
    junit = ElementTree.fromstring(run("check", *SICK, "--format", "junit").out)
    assert len(junit.findall(".//failure")) >= 1
    assert run("check", *SICK, "--format", "github").out.startswith("::error")


def test_without_labels_no_loss_is_invented(run):
    diagnosis = loads(run("check", "mlp:8x16x4", "--json").out, Diagnosis)
    task = diagnosis.profile.task
    assert task.target is None
    assert task.loss is None or task.loss.kind == "surrogate"
    assert all(facts.synthetic for facts in task.inputs)
    assert diagnosis.unjudged


def test_data_brings_labels_and_a_loss(run, tmp_path):
    digits = loads(run("check", *HEALTHY, "--json").out, Diagnosis).profile.task
    assert digits.loss.kind == "cross_entropy"
    assert not any(facts.synthetic for facts in digits.inputs)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "line.npz", x=rng.standard_normal((64, 3)) + 5, y=rng.standard_normal(64))
    line = loads(run("check", "mlp:3x32x1", "--data", "line.npz", "--json", "--exit-zero").out, Diagnosis).profile.task
    assert line.loss.kind == "mse"
    # A file is taken as it is: 51 training examples of mean 5 and spread 1, three features.
    assert line.inputs[0].mean == pytest.approx(5, abs=6 / math.sqrt(32 * 3))
    huber = run("check", "mlp:3x32x1", "--data", "line.npz", "--loss", "huber", "--json", "--exit-zero")
    assert loads(huber.out, Diagnosis).profile.task.loss.kind == "huber"


def test_an_optimizer_is_judged(run):
    result = run("check", *HEALTHY, "--optimizer", "adam", "--lr", "0.001", "--json")
    optimizer = loads(result.out, Diagnosis).profile.task.optimizer
    assert optimizer.name.lower() == "adam"
    assert optimizer.learning_rates == (0.001,)


def test_own_code_is_checked(run, tmp_path):
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n"
        "def image(): return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))\n"
        "def words(): return nn.Sequential(nn.Embedding(20, 8), nn.Linear(8, 20))\n"
        "class Two(nn.Linear):\n"
        "    def __init__(self): super().__init__(3, 2)\n"
        "    def forward(self, left, right): return super().forward(left + right)\n"
    )
    cases = {
        "own_nets.py:image": [("--input", "1,8,8"), ("--input", "1,8,8", "--data", "digits")],
        "own_nets:words": [
            (
                "--input",
                "ids:6",
            )
        ],
        "own_nets.py:Two": [("--input", "3", "--input", "3"), ("--input", "right=3", "--input", "left=3")],
    }
    for name, inputs in cases.items():
        for words in inputs:
            result = run("check", name, *words, "--json", "--batch-size", "8", "--exit-zero")
            assert result.code == 0, result.err
            assert loads(result.out, Diagnosis).profile.source.batch[0] == 8


def test_the_same_command_gives_the_same_bytes(run):
    first, again, other = (run("check", "mlp:8x16x4", "--json", "--seed", s).out for s in ("0", "0", "1"))
    assert first == again
    assert first != other


def test_fix_mends_and_writes(run, tmp_path):
    result = run("fix", *SICK, "--json", "--out", "mended.safetensors")
    assert result.code == 0, result.out
    fixed = loads(result.out, Fixed)
    assert fixed.before.worst == "error"
    assert any(change.cured for change in fixed.changes)
    assert not any(finding.severity == "error" for finding in fixed.after.findings)
    weights = load_file(tmp_path / "mended.safetensors")
    for measured in fixed.after.profile.parameters:
        assert weights[measured.path].double().mean().item() == pytest.approx(measured.weight.mean, rel=1e-4, abs=1e-6)
    assert "mended.safetensors" in result.err


def test_fix_without_a_dry_run_says_what_it_would_do(run, tmp_path):
    result = run("fix", *SICK, "--dry-run", "--out", "mended.safetensors")
    assert result.code == 1
    assert "Would apply for GS" in result.out
    assert not (tmp_path / "mended.safetensors").exists()
    healthy = run("fix", *HEALTHY, "--dry-run")
    assert healthy.code == 0
    assert "Nothing to apply" in healthy.out


def test_the_second_look_measures_as_the_first_did(run):
    fixed = loads(run("fix", "mlp:8x16x4", "--json").out, Fixed)
    before, after = fixed.before, fixed.after
    assert after.profile.source == before.profile.source
    assert after.profile.task.inputs == before.profile.task.inputs
    assert after.passed == before.passed


def test_init_writes_the_planned_weights(run, tmp_path):
    words = ("init", "mlp:64x128x10", "--scheme", "he_normal", "--override", "head.weight=zeros", "--json")
    result = run(*words, "--out", "first.safetensors")
    assert result.code == 0, result.err
    plan = loads(result.out, Plan)
    weights = load_file(tmp_path / "first.safetensors")
    assert set(weights) == {a.parameter for a in plan}
    assert not weights["head.weight"].any()
    hidden = weights["hidden.0.linear.weight"].double()
    # The sample variance of n normal draws has a relative standard error of √(2 / n).
    assert hidden.var().item() == pytest.approx(2 / 64, rel=6 * math.sqrt(2 / hidden.numel()))
    run(*words, "--out", "again.pt")
    again = torch.load(tmp_path / "again.pt", weights_only=True)
    assert all(torch.equal(again[name], value) for name, value in weights.items())
    run(*words, "--seed", "1", "--out", "other.pt")
    other = torch.load(tmp_path / "other.pt", weights_only=True)
    assert not torch.equal(other["hidden.0.linear.weight"], weights["hidden.0.linear.weight"])


def test_init_dry_run_and_plan_agree_and_write_nothing(run, tmp_path):
    dry = run("init", "mlp:64x128x10", "--dry-run", "--out", "w.pt", "--json")
    assert dry.code == 0, dry.err
    assert not (tmp_path / "w.pt").exists()
    assert dry.out == run("plan", "mlp:64x128x10", "--json").out
    assert run("plan", "mlp:64x128x10").out.startswith("PLAN")
    page = tmp_path / "plan.html"
    shown = run("plan", "mlp:64x128x10", "--html", str(page))
    assert shown.out.startswith("PLAN")
    assert f"Wrote {page}." in shown.err
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_rules_are_listed_and_explained(run):
    listed = run("rule")
    codes = [rule.code for rule in (*rules.all_rules(), *rules.training_rules())]
    assert [line.split()[0] for line in listed.out.splitlines()] == codes
    pages = json.loads(run("rule", "--json").out)["rules"]
    assert [page["code"] for page in pages] == codes
    for code in codes:
        page = run("rule", code.lower())
        assert page.code == 0
        assert page.out.startswith(code)
        assert json.loads(run("rule", code, "--json").out)["rules"][0]["code"] == code


@pytest.mark.parametrize("name", theory.activations())
def test_gains_are_those_of_theory(run, name):
    shown = json.loads(run("gain", name, "--json").out)
    assert shown["activation"] == name
    assert set(shown["gains"]) == set(CONVENTIONS)
    assert shown["gains"]["second_moment"] == pytest.approx(theory.level_gain(name), rel=1e-12)
    single = run("gain", name, "--convention", "second_moment").out
    assert float(single) == pytest.approx(theory.level_gain(name), abs=5e-7 + 1e-12)
    text = run("gain", name).out
    assert text.startswith(name)
    assert ("Not stable" in text) is not theory.stability(name).stable


def test_gains_of_gated_units(run):
    assert "1.676532" in run("gain", "swiglu").out
    assert json.loads(run("gain", "geglu", "--json").out)["activation"] == "geglu"


def test_gain_says_what_depth_does(run):
    """The critical spread, the growth behind norms and the distance from an isometry are those of theory."""
    shown = run("gain", "tanh", "--depth", "50").out
    figures = {line.split()[0]: line for line in shown.splitlines()[1:]}
    assert float(figures["critical"].split()[1]) == pytest.approx(theory.critical_point("tanh").sigma_w, abs=1e-6)
    assert float(figures["batch"].split()[2]) == pytest.approx(theory.batch_norm_growth("tanh"), abs=1e-6)
    spread = theory.jacobian_moments("tanh", 50, weights="orthogonal").relative_variance
    assert f"{spread:.4g} (orthogonal)" in figures["isometry"]
    assert f"{theory.gated_chi('silu'):.6f}" in run("gain", "swiglu").out
    assert "no critical point" in run("gain", "softplus").out
    assert run("gain", "tanh", "--depth", "0").code == 2


def test_gain_takes_settings_and_levels(run):
    leaky = float(run("gain", "leaky_relu,negative_slope=0.5", "--convention", "second_moment").out)
    assert leaky == pytest.approx(math.sqrt(2 / (1 + 0.25)), abs=5e-7)
    assert float(run("gain", "tanh", "--level", "1e-8", "--convention", "second_moment").out) == pytest.approx(
        1, abs=1e-6
    )
    assert json.loads(run("gain", "gelu", "--json").out)["gains"]["pytorch"] is None


def test_output_that_is_no_terminal_has_no_escapes(run):
    for words in (("check", *SICK), ("plan", "mlp:8x4x2"), ("rule", rules.all_rules()[0].code)):
        assert "\x1b" not in run(*words).out


@pytest.fixture(scope="module")
def deep():
    from gainstage.workflows import demo

    stages = []
    told = demo.deep(steps=300, progress=lambda stage, done, total: stages.append((stage, done, total)))
    return told, stages


def test_the_deep_demonstration_shows_what_it_claims(deep):
    demo, stages = deep
    held = demo.examples[1]
    chance = demo.before.chance_accuracy
    # Guessing gets a binomial number right; three spreads above it is no longer guessing.
    above_chance = chance + 3 * math.sqrt(chance * (1 - chance) / held)
    assert demo.before.final.accuracy < above_chance
    assert demo.after.final.accuracy > 0.8
    assert not demo.fixed.before.ok
    assert not any(f.severity == "error" for f in demo.fixed.after.findings)
    assert any(change.cured for change in demo.fixed.changes)
    assert [stage for stage, done, total in stages if done == total == 300] == [
        f"Training: {demo.before.label}", f"Training: {demo.after.label}",
    ]  # fmt: skip


def test_the_demonstrations_are_told(run, tmp_path, deep, monkeypatch):
    monkeypatch.setattr("gainstage.workflows.demo.deep", lambda *args, **kwargs: deep[0])
    result = run("demo", "--out", "picture.svg")
    assert result.code == 0, result.err
    assert result.err == ""
    assert f"{deep[0].after.final.accuracy:.1%}" in result.out
    assert "picture.svg" in result.out
    assert max(map(len, result.out.splitlines())) <= 80
    ElementTree.parse(tmp_path / "picture.svg")
    assert "gainstage-demo.html" in result.out
    page = (tmp_path / "gainstage-demo.html").read_text(encoding="utf-8")
    assert deep[0].after.label in page
    assert load(tmp_path / "gainstage-demo.html").changes == deep[0].fixed.changes
    told = json.loads(run("demo", "--json").out)
    assert told["kind"] == "deep_demo"
    assert told["record"]["after"]["evaluations"][-1]["accuracy"] == deep[0].after.final.accuracy


def test_the_classic_demonstration(run, tmp_path):
    result = run("demo", "--network", "classic", "--data", "digits", "--steps", "60", "--json")
    assert result.code == 0, result.err
    told = json.loads(result.out)["record"]
    for weight, fan_in in zip(told["weights"], (64, 128), strict=True):
        assert weight["target"] == pytest.approx(2 / fan_in)
        assert abs(weight["variance"] - weight["target"]) < 6 * weight["tolerance"]
    before, after = (told[which]["profile"]["task"]["output"]["spread_within"] for which in ("diagnosis", "mended"))
    assert after < before / 2
    assert run("demo", "--network", "classic", "--data", "digits", "--steps", "5").code == 0
    assert run("demo", "--html", "missing/page.html").code == 2
    assert (tmp_path / "gainstage-demo.svg").exists()


def test_a_page_is_written_beside_the_text(run, tmp_path):
    page = tmp_path / "report.html"
    outcome = run("check", "mlp:16x16x4", "--html", str(page))
    assert outcome.code == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_init_emits_code_that_runs_without_gainstage(run):
    result = run("init", "mlp:16x32x32x4,act=sigmoid", "--scheme", "auto", "--emit-code")
    assert (result.code, result.err) == (0, "")
    names: dict[str, object] = {}
    exec(compile(result.out, "emitted.py", "exec"), names)
    assert "import gainstage" not in result.out
    assert callable(names["initialize"])
    assert run("init", "mlp:16x32x4", "--emit-code", "--json").code == 2


@pytest.mark.parametrize("recipe", ["lsuv", "mup"])
def test_init_takes_the_recipes_of_the_literature(run, recipe):
    result = run("init", "mlp:16x32x32x4", "--scheme", recipe, "--dry-run", "--json")
    assert result.code == 0, result.err
    assert loads(result.out, Plan).scheme == recipe


def test_init_says_what_a_recipe_lacks(run):
    result = run("init", "mlp:16x32x4", "--scheme", "fixup", "--dry-run")
    assert result.code == 2
    assert "residual branches" in result.err
