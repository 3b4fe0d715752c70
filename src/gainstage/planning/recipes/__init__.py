"""Recipes of the literature, as plans over the same roles as the automatic one.

Each says so when an architecture lacks what it needs: with an ``InputError`` where it would mean nothing, and with a
note in the plan where it leaves something for the model's own code to do.
"""

from gainstage.planning.recipes.recipe import Recipe, RuleBased
from gainstage.planning.recipes.table import RECIPES, LevelSource, RecipeEntry, recipe_entry, recipe_named
from gainstage.planning.recipes.widths import Factors, RateRule, rate_factors, readout_width, residual_depth

__all__ = [
    "RECIPES", "Factors", "LevelSource", "RateRule", "Recipe", "RecipeEntry", "RuleBased", "rate_factors",
    "readout_width", "residual_depth",
    "recipe_entry", "recipe_named",
]  # fmt: skip
