"""docs/api.md says what the code says: names, arguments, what is returned, commands and their options."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import gainstage as gs
from gainstage.cli.app import COMMANDS, _import
from gainstage.records import Rendered

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
PARTS = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")}
FUNCTIONS = sorted(name for name in gs.__all__ if name != "keras" and inspect.isfunction(getattr(gs, name)))


def rows(part: str) -> list[list[str]]:
    lines = [line for line in PARTS[part].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


TABLE = {re.match(r"`gs\.(\w+)\(", row[0])[1]: row for row in rows("Functions")}


def written(function: object) -> str:
    """The arguments as the page writes them: names alone, with the star before keyword ones."""
    words, starred = [], False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            words.append("*")
            starred = True
        words.append(f"**{name}" if parameter.kind is parameter.VAR_KEYWORD else name)
    return ", ".join(words)


def test_every_function_has_its_row():
    assert sorted(TABLE) == FUNCTIONS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_row_gives_the_arguments_and_what_is_returned(name):
    function = getattr(gs, name)
    call, _, returned, _ = TABLE[name]
    assert call == f"`gs.{name}({written(function)})`"
    annotation = re.sub(r"\[.*", "", inspect.signature(function).return_annotation)
    assert returned == ("a record" if annotation in ("Any", "Document") else f"`{annotation}`")


def test_every_command_stands_beside_its_function():
    named = {word for row in TABLE.values() for word in re.findall(r"`gainstage (\w+)`", row[3])}
    elsewhere = set(re.findall(r"`gainstage (\w+)`", PARTS["Functions"]))
    assert named <= elsewhere == set(COMMANDS)


def test_every_option_exists():
    known = {option for name in COMMANDS for parameter in _import(name).params for option in parameter.opts}
    options = {
        option for part in ("Words", "Records") for row in rows(part) for option in re.findall(r"--[a-z-]+", row[2])
    }
    assert options <= known


def test_words_are_arguments_and_mean_the_same_everywhere():
    arguments = {name for f in FUNCTIONS for name in inspect.signature(getattr(gs, f)).parameters}
    words = {word for row in rows("Words") for word in re.findall(r"`(\w+)`", row[0])}
    assert words <= arguments
    assert not arguments & {"batch", "inputs", "target", "targets", "labels"}
    order = ["model", "x", "y"]
    for function in (gs.check, gs.fix, gs.predict, gs.trace):
        assert list(inspect.signature(function).parameters)[:3] == order


def test_every_record_and_every_other_name_is_on_the_page():
    assert all(f"`{name}" in PAGE or f"gs.{name}" in PAGE for name in gs.__all__)
    assert all(hasattr(Rendered, name) for name in ("save", "save_html"))
    kinds = {name: getattr(gs, name) for name in gs.__all__ if name[0].isupper()}
    records = {name for name, kind in kinds.items() if issubclass(kind, Rendered)}
    named = set(re.findall(r"`(\w+)`", PARTS["Records"].partition("They are")[0]))
    assert named == records | {"Finding", "Severity"}
