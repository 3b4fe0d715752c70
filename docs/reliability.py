"""Runs hostile code, hostile input and kills against gainstage, and writes the figures to docs/reliability.md.

Run it by ``make reliability``. Every figure is counted here and now; a failure ends the run, and nothing is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import torch  # noqa: E402
from tests.backends import test_left_as_found as hostile  # noqa: E402
from tests.fuzz import test_public_functions as fuzz  # noqa: E402
from tests.lab import test_guard as guard  # noqa: E402
from torch import nn  # noqa: E402

import gainstage as gs  # noqa: E402
from gainstage.report import carried, formats  # noqa: E402
from gainstage.report.text import render  # noqa: E402

NAMES = ("<script>alert(1)</script>", "\x1b[31mred", "line\nbreak", "::set-output name=a::b", "]]>", "a" * 3000,
         "\u202eevil", "'\"><img src=x onerror=alert(1)>")  # fmt: skip
KILLS = 1
COMPARE = """
import torch, gainstage as gs
def build(): return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10))
if __name__ == "__main__":
    gs.compare(build, "digits", ["keep", "he_normal"], seeds=6, steps=1500, together=1, workers=2, store="runs.db")
"""


def wrappers() -> tuple[int, int]:
    """Hostile forwards that were undone, and looks that were taken at them."""
    kinds = (hostile.Perceptron, hostile.Convolutional, hostile.Recurrent)
    for deed in hostile.DEEDS:
        for kind in kinds:
            hostile.test_a_look_changes_nothing(kind, deed)
    return len(hostile.DEEDS), len(hostile.DEEDS) * len(kinds) * len(hostile.LOOKS)


def fuzzed() -> tuple[int, int, int]:
    """Functions, commands, and inputs that went through them."""
    fuzz.test_functions_answer_with_a_result_or_an_error_of_their_own()
    fuzz.test_the_command_line_never_raises()
    commands = [c for c in fuzz.COMMANDS if c not in fuzz.SLOW]
    return len(fuzz.FUNCTIONS), len(commands), 2 * fuzz.LIGHT.max_examples


def malformed() -> tuple[int, int]:
    """Requests of random bytes that the lab was sent, and those that it answered, each with a 4xx; it lives on."""
    from gainstage.lab.server import start
    from gainstage.lab.state import State

    running = start(state=State(depth=2, width=8))
    answered = guard.malformed(running)
    alive = running.thread.is_alive()
    running.stop()
    if not alive:
        sys.exit("The lab did not survive the malformed requests.")
    return guard.ROUNDS, answered


def names() -> int:
    """Hostile module names that every format shows as text."""
    for name in NAMES:
        model = nn.Sequential()
        model.add_module(name.replace(".", ""), nn.Linear(4, 4))
        diagnosis = gs.check(model, torch.zeros(8, 4))
        assert all(line.isprintable() for line in render(diagnosis).splitlines()), name
        json.loads(gs.dumps(diagnosis))
        json.loads(formats.render_as("sarif", diagnosis))
        ElementTree.fromstring(formats.render_as("junit", diagnosis))
        assert all(line.startswith("::") for line in formats.render_as("github", diagnosis).splitlines()), name
    return len(NAMES)


def _started(folder: str) -> subprocess.Popen[bytes]:
    """A comparison in processes of its own, past its first stored trial."""
    script = Path(folder) / "compare.py"
    script.write_text(COMPARE, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(script)], cwd=folder, env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    while not _stored(folder):
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        time.sleep(0.2)
    return process


def _stored(folder: str) -> int:
    """Trials in the store; none while it is being made."""
    path = f"file:{Path(folder, 'runs.db')}?mode=ro"  # looking must not make the file
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path, uri=True)) as file:
        return int(file.execute("SELECT COUNT(*) FROM trials").fetchone()[0])
    return 0


def _left(session: int) -> list[str]:
    """Processes of a session that live."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = entry.read_text(encoding="utf-8").rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(entry.parent.name)
    return found


def kills() -> int:
    """Kills of comparisons after which no process was left and no stored trial lost."""
    for turn in range(KILLS):
        with tempfile.TemporaryDirectory() as folder:
            process = _started(folder)
            before = _stored(folder)
            process.send_signal(signal.SIGKILL)
            process.wait()
            until = time.monotonic() + 60
            while _left(process.pid) and time.monotonic() < until:
                time.sleep(0.5)
            assert not _left(process.pid), f"kill {turn}: processes are left"
            with contextlib.closing(sqlite3.connect(Path(folder, "runs.db"))) as file:
                assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert _stored(folder) >= before
    return KILLS


PAGE = """\
# Reliability

What gainstage leaves alone and what it refuses, counted by `make reliability`; every figure on this page comes from that run.

| what | figure |
|---|---|
| hostile forwards that are undone byte for byte | {deeds}, in {looks} looks (check, check with a step, plan, predict, trace) |
| public functions under arguments of every kind | {functions} |
| commands under words of every kind | {commands} |
| inputs tried on functions and commands | {inputs:,} (`make fuzz`: fifty times as many), no exception but gainstage's own |
| requests of random bytes that the lab was sent, and those that it answered at all | {sent}, {answered}; no 5xx, and it lives on |
| comparisons killed (SIGKILL) with no process left behind and no stored trial lost | {kills} of {kills} |
| hostile layer names in each of text, JSON, SARIF, JUnit and GitHub annotations | {names} |
| largest document that a page may carry | {page} MiB |
| largest arrays that a `.npz` file may hold | {arrays} GiB |

## What is left as it was found

A look (`check`, `plan`, `predict`, `trace`, the look that `fix` takes) runs the model's own code, and then puts back
everything that can be reached from the model: parameters, buffers and gradients byte for byte and in the same memory,
also where the code wrote through `.data` or NumPy; attributes, containers, closures, arrays and generators of random
numbers; hooks of modules and tensors; modes, replaced or added parameters and modules; attributes of the classes. The
model gets copies of the batch and of the labels. Random states of Python, NumPy and PyTorch, the default precision and
the gradient mode are those of before. The same holds when the code raises midway.

Passes of several threads take turns, since random states and hooks belong to the whole process.

Holding weights takes as much memory as they do, except where a model is traced without memory (`plan`, `predict`,
`trace`, unless its code reads values).

## What cannot be undone

- Files, processes, network connections and output of user code. In commands, what user code prints goes to standard error.
- Global variables of modules, iterators, open files, and objects of threads, queues and loggers, which others use too.
- The address of a tensor's memory, where the code made the tensor larger.

## What is refused

- A path to be written where a file stands that gainstage did not write (`--force` replaces it), before any work is done.
- Files of weights that hold more than tensors and plain containers: nothing in a file is run.
- Batches with NaN or infinity, with the index of the first.
"""


def main() -> None:
    """Count, and write the page."""
    from gainstage.data import sources

    ended, shown = kills(), names()
    deeds, looks = wrappers()
    functions, commands, inputs = fuzzed()
    sent, answered = malformed()
    text = PAGE.format(
        deeds=deeds, looks=looks, functions=functions, commands=commands, inputs=inputs, kills=ended, names=shown, sent=sent, answered=answered,
        page=carried.MOST >> 20, arrays=sources.MOST >> 30,
    )  # fmt: skip
    (ROOT / "docs" / "reliability.md").write_text(text, encoding="utf-8")
    print(re.sub(r"\n\n## .*", "", text, flags=re.DOTALL))


if __name__ == "__main__":
    main()
