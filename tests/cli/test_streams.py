"""Any encoding, a full disk, a reader that goes away, and user code that prints or ends the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PRINTS = """
print("SIDE EFFECT")
from torch import nn
class Net(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)
        print("BUILDING")
    def forward(self, x):
        print("FORWARD")
        return super().forward(x)
class Ends(Net):
    def forward(self, x):
        raise SystemExit(0)
"""


def command(*words, encoding="utf-8", stdout=subprocess.PIPE):
    return subprocess.run(
        [sys.executable, "-m", "gainstage", *words], stdout=stdout, stderr=subprocess.PIPE, check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )  # fmt: skip


@pytest.mark.parametrize(("encoding", "words"), [("ascii", ["--help"]), ("cp1252", ["gain", "tanh"])])
def test_every_encoding_takes_the_output(encoding, words):
    done = command(*words, encoding=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(done.stdout.decode(encoding)) > 100


FULL = """
import errno, io, os, stat, sys, tempfile

class Full(io.FileIO):
    def write(self, data):
        if stat.S_ISREG(os.fstat(self.fileno()).st_mode):
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)

sys.stdout = io.TextIOWrapper(io.BufferedWriter(Full(tempfile.mkstemp()[0], "w")), encoding="utf-8")
from gainstage.cli.app import gainstage
gainstage(["rule"])
"""


def test_a_full_disk_is_one_line():
    done = subprocess.run([sys.executable, "-c", FULL], stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr.decode().strip().splitlines() == [
        "gainstage: The output cannot be written: No space left on device."
    ]


def test_a_reader_that_goes_away_is_no_finding():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = command("ask", stdout=gone)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("form", [["--json"], ["--format", "sarif"], ["--format", "junit"], []])
def test_what_user_code_prints_is_no_result(run, tmp_path, form):
    (tmp_path / "prints.py").write_text(PRINTS)
    done = run("check", "prints.py:Net", "--input", "4", *form)
    assert done.code == 0
    assert "SIDE EFFECT" not in done.out
    assert "FORWARD" not in done.out
    assert "FORWARD" in done.err
    if form == ["--json"]:
        assert json.loads(done.out)["kind"] == "diagnosis"


def test_code_that_ends_the_program_is_an_error(run, tmp_path):
    (tmp_path / "ends.py").write_text(PRINTS)
    for words in (["check"], ["predict"], ["plan"]):
        done = run(*words, "ends.py:Ends", "--input", "4")
        assert done.code == 2
        assert "ended the program" in done.err


def test_a_wrong_value_says_where_it_was_set(run, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.gainstage]\nbatch-size = "many"\n')
    assert "pyproject.toml" in run("check", "mlp:4x2").err
    (tmp_path / "pyproject.toml").unlink()
    assert "GAINSTAGE_BATCH_SIZE" in run("check", "mlp:4x2", GAINSTAGE_BATCH_SIZE="many").err


def test_findings_may_never_fail(run):
    sick = "mlp:8x" + "x".join(["8"] * 14) + "x3,act=sigmoid"
    assert run("check", sick).code == 1
    assert run("check", sick, "--fail-on", "never").code == 0


def test_a_wrong_name_is_answered_before_a_framework_is_imported(tmp_path):
    names = ["mlp:64x10,act=bogus", "hf:bogus", "resnet50", "absent_module_of_nobody:build", "absent.py:Net",
             "checkpoint.pt", "mlp:1000000x1000000x10"]  # fmt: skip
    program = (
        "import sys\nfrom click.testing import CliRunner\nfrom gainstage.cli.app import gainstage\n"
        "for name in sys.argv[1:]:\n"
        "    done = CliRunner().invoke(gainstage, ['check', name])\n"
        "    heavy = [m for m in ('torch', 'transformers', 'keras') if m in sys.modules]\n"
        "    print(done.exit_code, 'not expected' in done.stderr, heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *names], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stdout.splitlines() == ["2 False []"] * len(names), done.stdout + done.stderr
