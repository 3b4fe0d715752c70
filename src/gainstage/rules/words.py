"""Figures and places in words."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.graph import Node

__all__ = ["figure", "listed", "place"]


def figure(value: float) -> str:
    """A number in three significant digits.

    >>> [figure(v) for v in (0.1 + 0.2, 3.2e-9, 123.4, 65504.0, 0.0)]
    ['0.3', '3.2e-9', '123', '65,504', '0']
    """
    if 1000 <= abs(value) < 1e6:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa}e{int(exponent)}"
    return text


def place(node: Node) -> str:
    """Where a node is: its module, else its weight, else what it does.

    >>> from gainstage.graph import Node, Operation
    >>> place(Node(0, Operation.LINEAR, "linear", (), (8, 4), path="blocks.3.mlp"))
    'blocks.3.mlp'
    """
    if node.path:
        return node.path
    weights = node.uses_of("weight")
    return weights[0].parameter if weights else node.function or node.name


def listed(names: Sequence[str], most: int = 3) -> str:
    """Some names, and how many more there are.

    >>> listed(["a"]), listed(["a", "b", "c", "d", "e"])
    ("'a'", "'a', 'b', 'c' and 2 more")
    """
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
