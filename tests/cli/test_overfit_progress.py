"""``check --overfit`` says on standard error how the short training goes, and keeps standard output to the result."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

WORDS = ["check", "mlp:64x32x10,act=relu", "--data", "digits", "--batch-size", "8", "--overfit", "--json"]


def test_lines_where_nobody_watches_and_json_alone_on_standard_output(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gainstage", *WORDS], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout)
    lines = [line for line in done.stderr.splitlines() if line.startswith("Learning one batch")]
    assert lines
    assert "step 0" in lines[0] or "step 50" in lines[0]
    assert "\r" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
def test_one_line_that_moves_on_a_terminal(tmp_path):
    ours, theirs = os.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    process = subprocess.Popen(
        [sys.executable, "-m", "gainstage", *WORDS], cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
        stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    result, _ = process.communicate()
    os.close(ours)
    assert json.loads(result)
    assert seen.count(b"\rLearning one batch") > 5
