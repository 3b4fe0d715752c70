"""What needs no framework does not import one."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "scipy.integrate", "sklearn", "transformers", "keras", "tensorflow", "jax", "mlxtend", "matplotlib")

PROGRAM = """
import sys
from gainstage.__main__ import main
try:
    main()
finally:
    print(*[name for name in {heavy!r} if name in sys.modules], file=sys.stderr, sep=",")
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"], ["--version"], ["check", "--help"], ["demo", "--help"], ["rule"], ["rule", "GS201"],
        ["rule", "--json"], ["ask"], ["ask", "--json"], ["gain", "gelu"], ["gain", "relu", "--json"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_light_commands_import_nothing_heavy(words, tmp_path):
    program = PROGRAM.format(heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr.strip() == ""


def test_module_and_script_are_the_same(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "gainstage", "--version"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.startswith("gainstage ")
