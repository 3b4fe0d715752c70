"""From a graph to a plan: which parameter gets which values, and why. Nothing here knows a framework."""

from gainstage.planning.automatic import BranchStart
from gainstage.planning.compose import kept_plan, plan
from gainstage.planning.coverage import completed, unexplained
from gainstage.planning.mirroring import is_one_plain_run, predicted_gains
from gainstage.planning.outputs import with_output_bias
from gainstage.planning.overrides import Override, Overrides, canonical_name, resolve
from gainstage.planning.recipes import (
    RECIPES,
    Factors,
    LevelSource,
    RateRule,
    RecipeEntry,
    rate_factors,
    readout_width,
    recipe_entry,
    residual_depth,
)
from gainstage.planning.settling import settled

__all__ = [
    "RECIPES", "BranchStart", "Factors", "LevelSource", "Override", "Overrides", "RateRule", "RecipeEntry",
    "canonical_name", "completed", "is_one_plain_run", "kept_plan", "plan", "predicted_gains", "rate_factors",
    "readout_width", "recipe_entry", "residual_depth", "resolve", "settled", "unexplained", "with_output_bias",
]  # fmt: skip
