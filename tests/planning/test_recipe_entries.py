"""A recipe states itself how its levels come about; nothing above planning asks for a recipe's name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gainstage
from gainstage.planning import RECIPES, LevelSource, recipe_entry

HOUSE = Path(gainstage.__file__).parent


def compared(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and value of every string that a comparison, a membership test or a ``match`` holds something against."""
    for node in ast.walk(tree):
        operands: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
        elif isinstance(node, ast.match_case):
            operands = [node.pattern]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset"):
            operands = list(node.args)
        elif isinstance(node, ast.Set):
            operands = [node]
        for operand in operands:
            for part in ast.walk(operand):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.lineno, part.value


@pytest.mark.parametrize("floor", ["workflows", "lessons", "trials", "backends", "planning"])
def test_nobody_asks_for_the_name_of_a_recipe(floor: str) -> None:
    asked = [
        f"{path.relative_to(HOUSE)}:{line} {name!r}"
        for path in (HOUSE / floor).rglob("*.py")
        for line, name in compared(ast.parse(path.read_text(encoding="utf-8")))
        if name in RECIPES
    ]
    assert asked == []


def test_the_test_sees_every_way_to_ask() -> None:
    source = 'x == "auto"\nx in {"lsuv"}\nmatch x:\n    case "mup" | "gpt2":\n        pass\nfrozenset({"fixup"})\n'
    assert {name for _, name in compared(ast.parse(source))} == {"auto", "lsuv", "mup", "gpt2", "fixup"}


def test_every_recipe_states_where_its_levels_come_from() -> None:
    sources = {name: entry.levels for name, entry in RECIPES.items()}
    settled = {"auto", "mend", "mirrored", "mirrored_delta", "mirrored_normal", "zero_branches"}
    assert {n for n, s in sources.items() if s.is_predicted} == settled
    assert {n for n, s in sources.items() if s.is_calibrated} == settled | {"delta_orthogonal"}
    assert {n for n, s in sources.items() if s is LevelSource.LSUV} == {"lsuv"}


def test_a_named_scheme_is_a_recipe_with_fixed_levels_that_needs_no_batch() -> None:
    entry = recipe_entry("he_normal")
    assert entry.levels is LevelSource.FIXED
    assert (entry.needs_batch, entry.sets_output_bias, entry.takes_branch_start) == (False, False, False)
