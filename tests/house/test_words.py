"""Remedies and causes are written in the words of each framework."""

import ast
from pathlib import Path

import pytest

import gainstage

ROOT = Path(gainstage.__file__).parent
FRAMEWORKS = ("torch", "keras")


def table(framework: str) -> dict[str, str]:
    """The table of words, read without importing the framework."""
    tree = ast.parse((ROOT / "backends" / framework / "models" / "words.py").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                    found[key.value] = value.value
    for backend in ("tensorflow", "jax", "torch"):
        if backend in found:
            found["a search for the line"] = found.pop(backend)
    return found


def named() -> set[str]:
    """Every meaning that a rule names."""
    return {
        node.args[0].value
        for path in (ROOT / "rules").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "phrase"
        if isinstance(node.args[0], ast.Constant)
    }


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_framework_has_words_for_all_that_rules_name(framework):
    assert named() <= set(table(framework))


def test_frameworks_have_words_for_the_same_meanings():
    first, second = (set(table(framework)) for framework in FRAMEWORKS)
    assert first == second


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_words_are_code_or_a_sentence(framework):
    values = {"units": 3, "function": "relu", "name": "Adam", "rate": "0.1", "dtype": "float16", "momentum": "0.9"}
    values |= {"first": "0.9", "second": "0.999", "norm": "1.0"}
    for meaning, text in table(framework).items():
        said = text.format(**values)
        if meaning.startswith("why "):
            assert said.endswith(".")
        else:
            compile(said, meaning, "exec")


@pytest.mark.parametrize("path", sorted((ROOT / "rules").glob("*.py")), ids=lambda path: path.stem)
def test_no_rule_speaks_for_one_framework(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    pages = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    spoken = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in pages
    ]
    assert not [text for text in spoken if any(word in text for word in ("torch.", "nn.", "keras."))]
