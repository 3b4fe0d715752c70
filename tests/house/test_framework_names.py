"""Nothing above the backends knows what a framework calls its operations."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gainstage

SOURCE = Path(gainstage.__file__).parent
TABLES = [f"backends/{framework}/tracing/{module}.py" for framework in ("torch", "keras")
          for module in ("operations", "classify")]  # fmt: skip
OLDER_DOCUMENTS = "report/older.py"  # reads files that hold such names
ACTIVATIONS = {"act"}  # these have a name of their own, from the table of activations
TAKEN_APART = {"lower", "upper", "startswith", "endswith", "split", "removeprefix", "removesuffix", "find", "count"}

Found = tuple[int, str]


def modules(root: Path) -> list[Path]:
    """Every module but those of the backends."""
    return [path for path in sorted(root.rglob("*.py")) if path.relative_to(root).parts[0] != "backends"]


def words_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every string in the code that is a word or a list of words; documentation and messages are none."""
    skipped = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    skipped |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            words = node.value.split()
            if all(word.isidentifier() for word in words):
                yield from ((node.lineno, word) for word in words)


def framework_names(root: Path) -> set[str]:
    """The names in the backends' tables that are no words of ours or of plain English: ``rsub``, ``_to_copy``."""
    found = {word for table in TABLES for _, word in words_of(ast.parse((root / table).read_text(encoding="utf-8")))}
    ours = {
        word
        for path in modules(root)
        if path.relative_to(root).parts[0] in ("theory", "schemes")
        for _, word in words_of(ast.parse(path.read_text(encoding="utf-8")))
    }
    ours |= set((root / "graph" / "signal.py").read_text(encoding="utf-8").replace("`", " ").split())
    return {name for name in found if looks_foreign(name)} - ours - VOCABULARY


SHORT = {"t", "mm", "bmm", "mv", "rsub", "lerp", "cat", "mul", "div", "amax", "amin", "addmm", "permute", "unbind"}
VOCABULARY = {
    "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "unit_norm", "log_softmax", "one_hot",
    "cross_entropy", "bce_logits", "probability_nll", "l1", "rnn_relu", "dynamic_convolution", "min_val", "max_val",
    "in_out", "out_in", "depth_to_space",
}  # fmt: skip
"""What the graph itself calls functions, losses, settings and layouts."""


def looks_foreign(name: str) -> bool:
    """No word of a language: several words in one, digits, or a name that is used for nothing else."""
    several = "_" in name.strip("_") or name.startswith("_") or any(c.isdigit() for c in name)
    camel = name.isidentifier() and name[:1].isupper() and any(c.isupper() for c in name[1:])
    return name.isidentifier() and (several or camel or name in SHORT)


def spoken(root: Path) -> dict[str, list[Found]]:
    """The framework's names that the code of each module above the backends holds."""
    names = framework_names(root)
    found = {}
    for path in modules(root):
        place = path.relative_to(root).as_posix()
        if place != OLDER_DOCUMENTS:
            found[place] = [hit for hit in words_of(ast.parse(path.read_text(encoding="utf-8"))) if hit[1] in names]
    return {place: hits for place, hits in found.items() if hits}


def decided(root: Path) -> dict[str, list[Found]]:
    """Where the name of a node is compared, looked up or taken apart."""
    found = {}
    for path in modules(root):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not any(isinstance(n, ast.ImportFrom) and str(n.module).startswith("gainstage.graph") for n in tree.body):
            continue
        hits = [(node.lineno, ast.unparse(node)) for node in ast.walk(tree) if decides(node)]
        if hits:
            found[path.relative_to(root).as_posix()] = hits
    return found


def decides(node: ast.AST) -> bool:
    match node:
        case ast.Compare(left=left, comparators=others):
            return any(map(is_name, (left, *others)))
        case ast.Subscript(slice=key):
            return is_name(key)
        case ast.Call(func=ast.Attribute(value=base, attr=method), args=arguments):
            return (is_name(base) and method in TAKEN_APART) or (method == "get" and any(map(is_name, arguments)))
        case ast.Match(subject=subject):
            return is_name(subject)
    return False


def is_name(node: ast.AST) -> bool:
    """``node.name``, or ``node.name.lower()``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return is_name(node.func.value)
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "name"
        and not (isinstance(node.value, ast.Name) and node.value.id in ACTIVATIONS)
    )


def test_no_module_above_the_backends_holds_a_name_of_the_frameworks_operations():
    assert spoken(SOURCE) == {}


def test_no_module_above_the_backends_decides_by_the_name_of_a_node():
    assert decided(SOURCE) == {}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of the tables, and one module above them to be written."""
    for table in [*TABLES, "graph/signal.py"]:
        path = tmp_path / table
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((SOURCE / table).read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


DECIDES = (
    'sign = -1.0 if node.name in ("sub", "rsub") else 1.0',
    'factors = [n for n in graph.nodes if n.name == "lerp"]',
    'kind = {"addmm": 1}.get(node.name)',
    'padded = "pad" in node.name.lower()',
    'smooth = node.name.endswith("_aa")',
    "kind = KINDS[here.name]",
)
SPEAKS = (
    'MOVES = frozenset("t transpose _to_copy unsqueeze".split())',
    'shifted = {"add", "rsub"} & set(use.derivation)',
    'if "_weight_norm" in use.derivation: pass',
    'taken = use.derivation == ("GetItem",)',
)


@pytest.mark.parametrize("line", DECIDES)
def test_a_decision_by_the_name_of_a_node_is_found(house: Path, line: str):
    (house / "rules").mkdir()
    (house / "rules" / "new.py").write_text(f"from gainstage.graph import Node\n{line}\n", encoding="utf-8")
    assert list(decided(house)) == ["rules/new.py"]


@pytest.mark.parametrize("line", SPEAKS)
def test_a_name_of_the_frameworks_operations_is_found(house: Path, line: str):
    (house / "planning").mkdir()
    (house / "planning" / "new.py").write_text(f'"""Speaks of mm and _to_copy."""\n{line}\n', encoding="utf-8")
    assert list(spoken(house)) == ["planning/new.py"]
