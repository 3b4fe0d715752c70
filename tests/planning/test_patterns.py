"""Patterns: what they mean, and what is said when they mean nothing."""

from __future__ import annotations

import pytest

from gainstage.errors import InputError
from gainstage.graph import Parameter
from gainstage.planning.path_patterns import matching

PATHS = ("stem.weight", "blocks.0.mlp.weight", "blocks.0.mlp.bias", "blocks.10.mlp.weight", "head.weight")
PARAMETERS = [
    Parameter(path, (1,), "float32", aliases=("tied.weight",) if path == "stem.weight" else ()) for path in PATHS
]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("head.weight", {"head.weight"}),
        ("head", {"head.weight"}),
        ("blocks.0", {"blocks.0.mlp.weight", "blocks.0.mlp.bias"}),
        ("blocks.*", {"blocks.0.mlp.weight", "blocks.0.mlp.bias", "blocks.10.mlp.weight"}),
        ("blocks.?.mlp.weight", {"blocks.0.mlp.weight"}),
        ("*.bias", {"blocks.0.mlp.bias"}),
        ("blocks.[!0]*", {"blocks.10.mlp.weight"}),
        ("tied", {"stem.weight"}),
        ("*", set(PATHS)),
    ],
)
def test_a_pattern_means_paths_modules_and_aliases(pattern: str, expected: set[str]) -> None:
    assert matching(pattern, PARAMETERS, where="only") == expected


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("blocks.1.*", "matches none of the 5 parameters. Did you mean 'blocks.10'"),
        ("heda.weight", "Did you mean 'head.weight'"),
        ("Head", "Did you mean 'head'"),
        ("zzz", "Paths look like 'stem.weight', 'blocks.0.mlp.weight'"),
        ("", "matches none"),
    ],
)
def test_a_pattern_that_means_nothing_is_refused_with_advice(pattern: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        matching(pattern, PARAMETERS, where="overrides")


def test_a_pattern_must_be_a_string() -> None:
    with pytest.raises(InputError, match="must be a string"):
        matching(3, PARAMETERS, where="only")
