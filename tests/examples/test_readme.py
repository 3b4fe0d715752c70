"""Every block of Python in the README runs, and every command in the documents is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from gainstage.cli.app import COMMANDS, _import

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINES = sorted(
    {
        line.partition("  #")[0].removeprefix("$ ").strip()
        for page in PAGES
        for block in re.findall(r"```(?:console|text|bash)?\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for line in block.splitlines()
        if re.match(r"(\$ )?gainstage \w", line)
    }
)


def test_the_blocks_run_one_after_another(capsys):
    names: dict[str, object] = {}
    for block in BLOCKS:
        if "import keras" not in block:  # run by tests/backends_keras, where Keras's backend is set
            exec(compile(block, "README.md", "exec"), names)
    assert "GS201" in capsys.readouterr().out


@pytest.mark.parametrize("line", LINES)
def test_a_command_is_one_that_the_command_line_takes(line):
    _, name, *words = shlex.split(line)
    assert name in COMMANDS
    _import(name).make_context(name, words)
