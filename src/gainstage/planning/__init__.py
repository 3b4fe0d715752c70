"""From a graph to a plan: which parameter gets which values, and why. Nothing here knows a framework."""

from gainstage.planning.automatic import BranchStart
from gainstage.planning.compose import plan
from gainstage.planning.coverage import completed, unexplained
from gainstage.planning.outputs import with_output_bias
from gainstage.planning.overrides import Override, Overrides, canonical_name
from gainstage.planning.recipes import NEED_A_BATCH, RECIPES, RateRule, rate_multipliers
from gainstage.planning.settling import settled

__all__ = [
    "NEED_A_BATCH", "RECIPES", "BranchStart", "Override", "Overrides", "RateRule", "canonical_name", "completed",
    "plan", "rate_multipliers", "settled", "unexplained", "with_output_bias",
]  # fmt: skip
