"""Makes a Jupyter notebook of every question from the source of its module, whose experiments are the code cells."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gainstage.lessons.catalogue import Entry, open_question
from gainstage.lessons.question import Play, Question

__all__ = ["file_name", "notebook", "notebook_text"]

LONGEST = 100
"""The number of characters of a line that a notebook shows without scrolling."""

Cell = tuple[str, str]
"""The kind of a cell, ``markdown`` or ``code``, and its text."""

_HOW = """\
Every section is one experiment: its code, its claims with the criterion that decides them, and the verdict that follows
from the figures. Change what you like, and run the cell again. `quick=False` measures more draws and trains for longer:
about a minute for the whole notebook instead of seconds. `pip install 'gainstage[demo]'` brings what is needed."""


def file_name(entry: Entry) -> str:
    """Return the file name of a question's notebook.

    >>> from gainstage.lessons import find
    >>> file_name(find("2"))
    '2_xavier.ipynb'
    """
    return f"{entry.number}_{entry.slug}.ipynb"


def notebook_text(entry: Entry) -> str:
    """Return a question's notebook as the content of a file, without outputs; the same source gives the same text."""
    return json.dumps(notebook(entry), indent=1, ensure_ascii=False) + "\n"


def notebook(entry: Entry) -> dict[str, Any]:
    r"""Return the notebook of a question in Jupyter's format 4.5, as a dictionary.

    >>> from gainstage.lessons import find
    >>> notebook(find("1"))["cells"][0]["source"][0]
    '# 1. Vanishing gradients: what are they, and how do they hurt training?\n'
    """
    question = open_question(entry)
    cells = [_cell(place, kind, text) for place, (kind, text) in enumerate(_cells(question, _Source.of(entry)))]
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _cell(place: int, kind: str, text: str) -> dict[str, Any]:
    name = hashlib.sha256(f"{place} {kind}".encode()).hexdigest()[:8]
    lines = text.strip().splitlines(keepends=True)
    code: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "id": name, "metadata": {}, **code, "source": lines}


def _cells(question: Question, source: _Source) -> Iterator[Cell]:
    yield "markdown", "\n\n".join((f"# {question.number}. {question.question}", *question.text, _HOW))
    told: set[str] = set()
    parts = [source.study(study.experiment.__name__, [c.id for c in study.claims], told) for study in question.studies]
    used = "\n".join(text for part in parts for text in (*part.code, *part.claims))
    yield "code", f"{source.imports(used)}\n\nsetting = Setting(seed=0, quick=True)"
    for study, part in zip(question.studies, parts, strict=True):
        yield "markdown", f"## {study.title.capitalize()}\n\n{part.summary}"
        yield "code", _joined(part.code)
        yield "code", f"result = {study.experiment.__name__}(setting)"
        for claim, code in zip(study.claims, part.claims, strict=True):
            yield "markdown", f"### {claim.id} {claim.statement}\n\nClaimed by: {claim.source}."
            yield "code", f"claim = {code}\nevidence(claim, result)"
    if question.play is not None:
        yield from _playground(question.play)
    yield "markdown", "## References\n\n" + "\n".join(f"- {reference}" for reference in question.references)


def _joined(statements: list[str]) -> str:
    """Join statements, with empty lines around functions."""
    text = ""
    for before, statement in pairwise(["", *statements]):
        apart = "def " in (before[:4], statement[:4])
        text += ("\n\n\n" if apart else "\n") + statement if before else statement
    return text


def _playground(play: Play) -> Iterator[Cell]:
    """Yield cells in which readers measure, predict and train a network of their own, by public functions alone."""
    yield "markdown", f"## Your turn\n\n{play.hint}"
    yield (
        "code",
        (
            f'ACTIVATION, LAYERS, NORM = "{play.activation}", {play.layers}, "{play.norm}"  # change these\n'
            f'SCHEME, GAIN = "{play.scheme}", {play.gain}'
        ),
    )
    yield "code", _LOOK
    yield "markdown", "What theory says of the same network, without running it:"
    yield "code", 'gs.predict(model, x, y, loss="cross_entropy")'
    yield "markdown", "And trained, against PyTorch's own start and the automatic one:"
    yield "code", _TRAIN


_LOOK = """\
import torch

import gainstage as gs
from gainstage.backends import lesson_workbench
from gainstage.data import load

digits = load("digits")
x, y = torch.from_numpy(digits.x_train[:256]), torch.from_numpy(digits.y_train[:256])


def build():
    return lesson_workbench().mlp([64, *[64] * LAYERS, 10], activation=ACTIVATION, norm=NORM)


def mine(model, seed=0):
    hidden = {"hidden.*.linear.weight": gs.Override(SCHEME, GAIN)}
    gs.initialize(model, SCHEME, x=x, seed=seed, overrides=hidden)


model = build()
mine(model)
gs.check(model, x, y, loss="cross_entropy")"""

_TRAIN = """\
starts = {"mine": mine, "keep": "keep", "auto": "auto"}
gs.compare(build, digits, starts, seeds=3, steps=100, learning_rates=0.03, optimizer="momentum", workers=1)"""


@dataclass(frozen=True, slots=True)
class _Part:
    """One study as source: the experiment's arguments, its code with all that it needs, and its claims."""

    summary: str
    code: list[str]
    claims: list[str]


@dataclass(frozen=True, slots=True)
class _Source:
    """The statements of a question's module, by the names that they define."""

    text: str
    tree: ast.Module
    defined: dict[str, int]
    """A map from each name to the index of the statement in the module that defines it."""

    @classmethod
    def of(cls, entry: Entry) -> _Source:
        text = inspect.getsource(importlib.import_module(f"gainstage.lessons.{entry.slug}"))
        tree = ast.parse(text)
        places = {name: place for place, node in enumerate(tree.body) for name in _names_set_by(node)}
        return cls(text, tree, {name: p for name, p in places.items() if name not in ("QUESTION", "__all__")})

    def imports(self, used: str) -> str:
        """Return those of the module's imports that a code uses, and the import that judges claims."""
        names = {node.id for node in ast.walk(ast.parse(used)) if isinstance(node, ast.Name)} | {"Setting", "evidence"}
        lines, last = [], ""
        for node in self.tree.body:
            if not isinstance(node, ast.Import | ast.ImportFrom) or getattr(node, "module", "") == "__future__":
                continue
            if getattr(node, "module", "") == "gainstage.lessons.question":
                node.names.append(ast.alias("evidence"))
            node.names = sorted(
                (n for n in node.names if (n.asname or n.name).split(".")[0] in names), key=lambda n: n.name
            )
            if node.names:
                origin = _origin_of(getattr(node, "module", None) or node.names[0].name)
                lines += (
                    ["", _wrapped(ast.unparse(node))] if last not in ("", origin) else [_wrapped(ast.unparse(node))]
                )
                last = origin
        return "\n".join(lines)

    def study(self, experiment: str, claims: Iterable[str], told: set[str]) -> _Part:
        """Return the experiment and its claims, without the statements of earlier cells."""
        calls = {claim: call for call in ast.walk(self.tree) if (claim := _claim_of(call))}
        wanted = [calls[claim] for claim in claims]
        function = self.tree.body[self.defined[experiment]]
        needed = self._needed([function, *wanted])
        places = sorted({self.defined[name] for name in needed | {experiment}} - {self.defined[n] for n in told})
        told |= needed | {experiment}
        code = [self._segment(place) for place in places]
        summary = ast.get_docstring(function, clean=True) or ""  # type: ignore[arg-type]
        return _Part(summary.partition("\n\n")[0], code, [self._dedented(call) for call in wanted])

    def _needed(self, nodes: Iterable[ast.AST]) -> set[str]:
        """Return the names of the module that a code uses, directly or through other names."""
        found: set[str] = set()
        todo = list(nodes)
        while todo:
            names = {n.id for n in ast.walk(todo.pop()) if isinstance(n, ast.Name) and n.id in self.defined} - found
            found |= names
            todo += [self.tree.body[self.defined[name]] for name in names]
        return found

    def _segment(self, place: int) -> str:
        """Return a statement, with the comments above and the docstring below it."""
        node, lines = self.tree.body[place], self.text.splitlines()
        first = min(node.lineno, *(d.lineno for d in getattr(node, "decorator_list", [])), node.lineno)
        while lines[first - 2].startswith("#"):
            first -= 1
        last = node.end_lineno or node.lineno
        following = self.tree.body[place + 1] if place + 1 < len(self.tree.body) else None
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            last = following.end_lineno or last
        return "\n".join(line.removesuffix("  # fmt: skip") for line in lines[first - 1 : last])

    def _dedented(self, call: ast.AST) -> str:
        lines = (ast.get_source_segment(self.text, call) or "").splitlines()
        return "\n".join((lines[0], *(line.removeprefix(" " * 12) for line in lines[1:])))


def _origin_of(module: str) -> str:
    root = module.partition(".")[0]
    return root if root == "gainstage" else "standard" if root in sys.stdlib_module_names else "third party"


def _wrapped(statement: str) -> str:
    """Return an import on one line, or one name per line where it would be too long."""
    source, _, names = statement.partition(" import ")
    if len(statement) <= LONGEST:
        return statement
    return f"{source} import (\n" + "".join(f"    {name},\n" for name in names.split(", ")) + ")"


def _names_set_by(node: ast.stmt) -> list[str]:
    match node:
        case ast.Assign():
            return [t.id for target in node.targets for t in ast.walk(target) if isinstance(t, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case _:
            return []


def _claim_of(node: ast.AST) -> str:
    match node:
        case ast.Call(func=ast.Name(id="Claim"), args=[ast.Constant(value=str(claim)), *_]):
            return claim
        case _:
            return ""
