"""From a graph to a plan: which parameter gets which values, and why. Nothing here knows a framework."""

from gainstage.planning.automatic import BranchStart
from gainstage.planning.compose import kept_plan, plan
from gainstage.planning.coverage import completed, unexplained
from gainstage.planning.outputs import with_output_bias
from gainstage.planning.overrides import Override, Overrides, canonical_name
from gainstage.planning.recipes import (
    RECIPES,
    Factors,
    LevelSource,
    RateRule,
    rate_factors,
    readout_width,
    recipe_entry,
    residual_depth,
)
from gainstage.planning.settling import settled

__all__ = [
    "RECIPES", "BranchStart", "Factors", "LevelSource", "Override", "Overrides", "RateRule", "canonical_name",
    "completed", "kept_plan", "plan", "rate_factors", "readout_width", "recipe_entry", "residual_depth", "settled",
    "unexplained", "with_output_bias",
]  # fmt: skip
