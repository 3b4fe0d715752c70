"""The Python of the README and of the guides runs, and every command in the documents is one that exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from gainstage.cli.app import COMMANDS, _import

ROOT = Path(__file__).parents[2]
GUIDES = {
    "README.md": "GS201",
    "docs/start.md": "GS201",
    "docs/checking.md": "GS201",
    "docs/fixing.md": "cured",
    "docs/initializing.md": "def initialize",
    "docs/comparing.md": "keep",
}
"""Each page whose blocks run one after another, and a word that they print."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINES = sorted(
    {
        line.partition("  #")[0].removeprefix("$ ").strip()
        for page in PAGES
        for block in re.findall(r"```(?:console|text|bash)?\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for line in re.sub(r"\\\n\s*", "", block).splitlines()  # a command may go on in the next line
        if re.match(r"(\$ )?gainstage \w", line)
    }
)


@pytest.mark.parametrize("page", GUIDES)
def test_the_blocks_of_a_page_run_one_after_another(page, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, page, "exec"), names)
    assert GUIDES[page] in capsys.readouterr().out


@pytest.mark.parametrize("line", LINES)
def test_a_command_is_one_that_the_command_line_takes(line):
    _, name, *words = shlex.split(line)
    assert name in COMMANDS
    _import(name).make_context(name, words)
