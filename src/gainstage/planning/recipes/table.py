"""The table of recipes: a new one is a function of (graph, settable paths) and a line here."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from types import MappingProxyType

from gainstage.graph import SignalGraph
from gainstage.planning.automatic import Automatic, BranchStart
from gainstage.planning.named import Named
from gainstage.planning.recipes.convolution import delta_orthogonal
from gainstage.planning.recipes.mirrored import mirrored
from gainstage.planning.recipes.recipe import Recipe
from gainstage.planning.recipes.residual import fixup, zero_branches
from gainstage.planning.recipes.transformer import deepnorm, gpt2, t_fixup
from gainstage.planning.recipes.widths import complete_p, mup
from gainstage.planning.standing import Standing

__all__ = ["RECIPES", "LevelSource", "RecipeEntry", "recipe_entry", "recipe_named"]


class LevelSource(Enum):
    """Where the second moments of a recipe's outputs come from."""

    SETTLED = "settled"
    """Theory predicts them while planning; calibration on a batch replaces the prediction where weights are written."""
    CALIBRATED = "calibrated"
    """Calibration on a batch measures them in one forward pass; theory does not settle them."""
    LSUV = "lsuv"
    """A batch brings one layer after the other to unit variance (Mishkin and Matas)."""
    FIXED = "fixed"
    """The spreads are those that the recipe publishes, whatever level they give."""

    @property
    def is_predicted(self) -> bool:
        """Whether theory settles the levels of a plan that no batch will calibrate."""
        return self is LevelSource.SETTLED

    @property
    def is_calibrated(self) -> bool:
        """Whether one forward pass over a batch brings every output to its level."""
        return self in (LevelSource.SETTLED, LevelSource.CALIBRATED)


@dataclass(frozen=True, slots=True)
class RecipeEntry:
    """One recipe, with what a caller has to know before it plans.

    Args:
        build: from (graph, paths of the parameters to set) to the recipe.
        levels: where the second moments of its outputs come from.
        needs_batch: whether it reads operations that only a batch shows.
        takes_branch_start: whether ``build`` takes two arguments more: the start of residual branches, and what is
            known of the values that stand in the model.
        sets_output_bias: whether labels set the bias of the output.
        mends: whether a start that a check finds healthy stays, and a part that it finds healthy.
    """

    build: Callable[..., Recipe]
    levels: LevelSource = LevelSource.FIXED
    needs_batch: bool = True
    takes_branch_start: bool = False
    sets_output_bias: bool = False
    mends: bool = False

    def recipe(
        self, graph: SignalGraph, settable: Container[str], branch_start: BranchStart, standing: Standing
    ) -> Recipe:
        """The recipe for one graph."""
        return self.build(graph, settable, *((branch_start, standing) if self.takes_branch_start else ()))


def _named(graph: SignalGraph, settable: Container[str], *, scheme: str) -> Recipe:  # noqa: ARG001
    """One named scheme draws every weight; LSUV (Mishkin and Matas, arXiv:1511.06422) starts from orthogonal ones."""
    return Named.of(graph, scheme)


RECIPES: Mapping[str, RecipeEntry] = MappingProxyType(
    {
        "auto": RecipeEntry(Automatic.of, LevelSource.SETTLED, takes_branch_start=True, sets_output_bias=True),
        "complete_p": RecipeEntry(complete_p),
        "deepnorm": RecipeEntry(deepnorm),
        "delta_orthogonal": RecipeEntry(delta_orthogonal, LevelSource.CALIBRATED, needs_batch=False),
        "fixup": RecipeEntry(fixup),
        "gpt2": RecipeEntry(gpt2),
        "mend": RecipeEntry(
            Automatic.of, LevelSource.SETTLED, takes_branch_start=True, sets_output_bias=True, mends=True
        ),
        "lsuv": RecipeEntry(partial(_named, scheme="orthogonal"), LevelSource.LSUV),
        "mirrored": RecipeEntry(partial(mirrored, halves="orthogonal"), LevelSource.SETTLED),
        "mirrored_delta": RecipeEntry(partial(mirrored, halves="centre_tap"), LevelSource.SETTLED),
        "mirrored_normal": RecipeEntry(partial(mirrored, halves="normal"), LevelSource.SETTLED),
        "mup": RecipeEntry(mup),
        "t_fixup": RecipeEntry(t_fixup),
        "zero_branches": RecipeEntry(zero_branches, LevelSource.SETTLED),
    }
)
"""Recipes by name."""

_ALIASES = {
    "rezero": "zero_branches", "skipinit": "zero_branches", "tfixup": "t_fixup", "mu_p": "mup",
    "completep": "complete_p",
    "looks_linear": "mirrored",
}  # fmt: skip


def recipe_entry(name: str) -> RecipeEntry:
    """The entry of a recipe, or of a named scheme, which draws weights as published and needs no batch.

    Args:
        name: canonical.

    >>> recipe_entry("auto").levels, recipe_entry("he_normal").levels
    (<LevelSource.SETTLED: 'settled'>, <LevelSource.FIXED: 'fixed'>)
    """
    return RECIPES.get(name) or RecipeEntry(partial(_named, scheme=name), needs_batch=False)


def recipe_named(name: str) -> str | None:
    """The name under which a recipe stands in the table; None where there is none."""
    folded = name.lower().replace("-", "_").replace(" ", "_")
    found = _ALIASES.get(folded, folded)
    return found if found in RECIPES else None
