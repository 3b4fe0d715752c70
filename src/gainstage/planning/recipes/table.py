"""The table of recipes; a new one is a function of (graph, settable paths) and a line here."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from types import MappingProxyType

from gainstage.graph import SignalGraph
from gainstage.planning.automatic import Automatic
from gainstage.planning.named import Named
from gainstage.planning.recipes.convolution import delta_orthogonal
from gainstage.planning.recipes.recipe import Recipe
from gainstage.planning.recipes.residual import fixup, zero_branches
from gainstage.planning.recipes.transformer import deepnorm, gpt2, t_fixup
from gainstage.planning.recipes.widths import mup

__all__ = ["NEED_A_BATCH", "RECIPES", "recipe_named"]

Builder = Callable[[SignalGraph, Container[str]], Recipe]


def _lsuv(graph: SignalGraph, settable: Container[str]) -> Recipe:  # noqa: ARG001
    """LSUV (Mishkin and Matas, arXiv:1511.06422): orthogonal weights, then unit variance layer by layer on a batch."""
    return Named.of(graph, "orthogonal")


RECIPES: Mapping[str, Builder] = MappingProxyType(
    {
        "auto": Automatic.of,
        "deepnorm": deepnorm,
        "delta_orthogonal": delta_orthogonal,
        "fixup": fixup,
        "gpt2": gpt2,
        "lsuv": _lsuv,
        "mup": mup,
        "t_fixup": t_fixup,
        "zero_branches": zero_branches,
    }
)
"""Recipes by name."""

NEED_A_BATCH = frozenset(RECIPES) - {"delta_orthogonal"}
"""Recipes that go by what the model does."""

_ALIASES = {"rezero": "zero_branches", "skipinit": "zero_branches", "tfixup": "t_fixup", "mu_p": "mup"}


def recipe_named(name: str) -> str | None:
    """The name under which a recipe stands in the table; None where there is none."""
    folded = name.lower().replace("-", "_").replace(" ", "_")
    found = _ALIASES.get(folded, folded)
    return found if found in RECIPES else None
