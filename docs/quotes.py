"""Run the commands that the pages quote, and write what they print: ``make quotes``.

A ``text`` block right after a ``console`` block of one command holds the command's whole output. Trailing spaces are
removed; nothing else is changed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

QUOTE = re.compile(r"(```console\n\$ (gainstage [^\n]*)\n```\n\n```text\n)(.*?)(```\n)", re.DOTALL)


def printed(command: str) -> str:
    """The output of one command, run in an empty folder, 80 columns wide."""
    words = [sys.executable, "-m", *shlex.split(command)]
    environment = {**os.environ, "COLUMNS": "80"}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 2:
        raise SystemExit(f"'{command}' could not run.")
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def main() -> None:
    """Rewrite the quoted outputs of all pages, or of those that are named."""
    pages = [Path(name) for name in sys.argv[1:]] or sorted(Path(__file__).parent.glob("*.md"))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        new = QUOTE.sub(lambda quote: quote[1] + printed(quote[2]) + quote[4], text)
        if new != text:
            page.write_text(new, encoding="utf-8")
            print(f"{page} was written anew.")


if __name__ == "__main__":
    main()
