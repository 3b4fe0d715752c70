"""The action for GitHub and the hook for pre-commit: what they say is what the command line takes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
HEALTHY, SICK = "mlp:16x32x32x4,act=relu", "mlp:16x32x32x32x32x32x32x32x32x32x4,act=sigmoid"


def test_the_action_is_one_that_github_takes():
    assert {"name", "description", "inputs", "runs"} <= set(ACTION)
    assert ACTION["runs"]["using"] == "composite"
    for step in ACTION["runs"]["steps"]:
        assert {"name", "shell", "run"} <= set(step)
        assert "${{" not in step["run"]  # an expression inside a script would run what an input says
    told = json.dumps(ACTION["runs"])
    assert set(re.findall(r"inputs\.([\w-]+)", told)) == set(ACTION["inputs"])
    for name, given in ACTION["inputs"].items():
        assert given["description"]
        assert given.get("required") or "default" in given, name


def ran(tmp_path, **inputs):
    """The step that checks, run by bash as GitHub runs it."""
    step = next(step for step in ACTION["runs"]["steps"] if step["name"] == "Check")
    defaults = {name: given.get("default", "") for name, given in ACTION["inputs"].items()}
    values = defaults | inputs
    variables = {
        name: values[re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", value)[1]] for name, value in step["env"].items()
    }
    (tmp_path / "bin").mkdir(exist_ok=True)
    command = tmp_path / "bin" / "gainstage"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m gainstage "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], cwd=tmp_path,
        env=os.environ | variables | {"PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_step_fails_on_a_sick_network_annotates_it_and_writes_what_code_scanning_reads(tmp_path):
    done = ran(tmp_path, model=SICK, options="--seed 0 --batch-size 32", sarif="found.sarif")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("::")
    assert json.loads((tmp_path / "found.sarif").read_text())["version"] == "2.1.0"


def test_an_option_is_no_code(tmp_path):
    done = ran(tmp_path, model=HEALTHY, options="--seed 0 ; touch injected", **{"fail-on": "never"})
    assert done.returncode == 2
    assert not (tmp_path / "injected").exists()


def test_the_hook_for_pre_commit_is_a_command_that_exists():
    (hook,) = HOOKS
    assert {"id", "name", "entry", "language"} <= set(hook)
    assert hook["pass_filenames"] is False
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(hook["entry"]), HEALTHY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
