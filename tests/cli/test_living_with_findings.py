"""Findings that a project lives with: rules left out, findings accepted for a reason, a baseline over two commits."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gainstage.records import Diagnosis
from gainstage.report.json import loads

NET = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    sizes = [64] * {layers}
    hidden = [m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), nn.{act}())]
    return nn.Sequential(*hidden, nn.Linear(64, 10){last})
"""
ACCEPT = """
[tool.gainstage.check]
data = "digits"
[[tool.gainstage.accept]]
rule = "{rule}"
reason = "The borders of these images are always black."
"""


def write(layers: int = 14, act: str = "Sigmoid", last: str = "") -> None:
    Path("net.py").write_text(NET.format(layers=layers, act=act, last=last))


def codes(out: str) -> set[str]:
    return {finding.code for finding in loads(out, Diagnosis).findings}


def test_selected_and_ignored_rules(run):
    write()
    whole = run("check", "net.py:build", "--data", "digits", "--json")
    found = codes(whole.out)
    assert {"GS603"} < found
    assert codes(run("check", "net.py:build", "--data", "digits", "--json", "--select", "gs603").out) == {"GS603"}
    without = run("check", "net.py:build", "--data", "digits", "--json", "--ignore", "GS1,GS2", "--ignore", "GS6")
    record = loads(without.out, Diagnosis)
    assert not {code[:3] for code in codes(without.out)} & {"GS1", "GS2", "GS6"}
    assert {code[:3] for code in record.left_out} == {"GS1", "GS2", "GS6"}
    judged = {*record.passed, *(u.code for u in record.unjudged), *record.left_out, *codes(without.out)}
    assert "GS101" in judged
    assert run("check", "net.py:build", "--data", "digits", "--ignore", "GS99").code == 2


def test_a_baseline_fails_only_on_what_is_new(run):
    write(act="ReLU")
    first = run("check", "net.py:build", "--data", "digits", "--write-baseline", "baseline.txt")
    assert first.code == 0
    assert "Wrote baseline.txt" in first.err
    same = run("check", "net.py:build", "--data", "digits", "--baseline", "baseline.txt", "--fail-on", "note")
    assert same.code == 0, same.out
    assert "in the baseline" in same.out
    write(act="Sigmoid")
    worse = run("check", "net.py:build", "--data", "digits", "--baseline", "baseline.txt")
    assert worse.code == 1
    assert "ERROR" in worse.out


def test_a_finding_that_became_worse_is_new(run):
    write()
    run("check", "net.py:build", "--data", "digits", "--write-baseline", "baseline.txt")
    text = Path("baseline.txt").read_text()
    assert " error " in text
    Path("baseline.txt").write_text(text.replace(" error ", " note "))
    assert run("check", "net.py:build", "--data", "digits", "--baseline", "baseline.txt").code == 1


def test_accepted_findings_stay_visible_in_every_format(run):
    write()
    Path("pyproject.toml").write_text(ACCEPT.format(rule="GS"))
    text = run("check", "net.py:build")
    assert text.code == 0
    assert "always black" in text.out
    record = loads(run("check", "net.py:build", "--json").out, Diagnosis)
    assert not record.findings
    assert {a.finding.code for a in record.accepted} >= {"GS603"}
    sarif = json.loads(run("check", "net.py:build", "--format", "sarif").out)["runs"][0]["results"]
    assert all(r["suppressions"][0]["justification"].endswith("black.") for r in sarif)
    junit = ElementTree.fromstring(run("check", "net.py:build", "--format", "junit").out)
    assert not junit.findall(".//failure")
    assert any("always black" in s.get("message") for s in junit.findall(".//skipped"))


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("accept = 3", "list of tables"),
        ("[[tool.gainstage.accept]]\nrule = 'GS603'", "reason missing"),
        ("[[tool.gainstage.accept]]\nreason = 'because'", "rule missing"),
        ("[[tool.gainstage.accept]]\nrule = 'GS603'\nreason = ''", "not empty"),
        ("[[tool.gainstage.accept]]\nrule = 'GS603'\nreson = 'slip'", "Did you mean 'reason'"),
    ],
)
def test_decisions_that_cannot_be_read(run, entry, complaint):
    Path("pyproject.toml").write_text(f"[tool.gainstage]\n{entry}\n")
    failed = run("check", "mlp:4x4x2")
    assert failed.code == 2
    assert complaint in failed.err


def test_baselines_that_cannot_be_read_or_must_not_be_overwritten(run):
    absent = run("check", "mlp:4x4x2", "--baseline", "absent.txt")
    assert absent.code == 2
    assert "--write-baseline absent.txt" in absent.err
    Path("mine.py").write_text("print('mine')\n")
    for option in ("--baseline", "--write-baseline"):
        failed = run("check", "mlp:4x4x2", option, "mine.py")
        assert failed.code == 2
        assert "Line 1 of the baseline 'mine.py' is not a finding" in failed.err
    assert Path("mine.py").read_text() == "print('mine')\n"
