"""No function has a body above 50 lines, nor takes more than 8 arguments unless users call it with keywords."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import gainstage

SOURCE = Path(gainstage.__file__).parent
LINES, ARGUMENTS = 50, 8

PUBLIC = "users call it with keywords, each with a default"
OPTIONS = "one argument for every option of the command line"
MANY_ARGUMENTS = {
    "cli/commands/ask.py: command": "one argument an option",
    "workflows/comparing.py: compare": PUBLIC,
    "workflows/comparing.py: experiment": "the same arguments as compare, checked before any training",
    "workflows/checking.py: check": PUBLIC,
    "workflows/watching/watch.py: watch": PUBLIC,
    "theory/recurrence/moments.py: recurrent_moments": PUBLIC,
    "statistics/comparing.py: compared": "the settings of a comparison, all stored in its record",
    "data/split.py: split": PUBLIC,
    "cli/commands/compare.py: command": OPTIONS,
    "workflows/judging_formats.py: formats": PUBLIC,
    "cli/commands/init.py: command": OPTIONS,
    "cli/commands/check.py: command": OPTIONS,
    "workflows/fixing.py: fix": PUBLIC,
    "workflows/preflighting.py: preflight": PUBLIC,
    "workflows/resizing.py: scaling": PUBLIC,
    "backends/protocol/backend.py: movements": "the settings of a short training, called with keywords",
    "backends/torch/training/movements.py: movements": "the settings of a short training, called with keywords",
    "report/charts/curves.py: curves": "what a chart shows, each with a default",
    "report/charts/frame.py: framed": "what a chart shows, each with a default",
    "streams/kernels.py: _draw_block": "compiled by Numba, which takes no records",
    "streams/kernels.py: fill": "compiled by Numba, which takes no records",
    "streams/kernels.py: fill_bfloat16": "compiled by Numba, which takes no records",
    "streams/kernels.py: fill_rows": "compiled by Numba, which takes no records",
    "cli/commands/run.py: command": OPTIONS,
    "backends/protocol/workbench.py: __call__": "the protocol of a training",
    "backends/torch/training/train.py: train": "a training's settings, as the protocol has them",
    "backends/keras/training/train.py: train": "a training's settings, as the protocol has them",
    "backends/torch/measuring/first_step.py: try_step": "everything that one optimizer step depends on",
}
MANY_LINES = {
    "backends/torch/tracing/graph_from_modules.py: structure": "one line for every kind of module",
    "backends/torch/measuring/record.py: _measured": "one argument of the record on every line",
    "backends/keras/tracing/trace.py: program_of": "the steps of one trace, which share its local state",
}


def functions() -> Iterator[tuple[str, int, int]]:
    """Every function: its place, the lines of its body without the docstring, and its arguments."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
                own = [argument for argument in given if argument.arg not in ("self", "cls")]
                yield f"{path.relative_to(SOURCE)}: {node.name}", lines, len(own)


def test_bodies_are_short_and_arguments_few():
    found = list(functions())
    assert {place for place, lines, _ in found if lines > LINES} == set(MANY_LINES)
    assert {place for place, _, arguments in found if arguments > ARGUMENTS} == set(MANY_ARGUMENTS)
