"""Profile → Findings → Diagnosis: what a measurement means, rule by rule."""

from gainstage.rules import (
    doubts,
    forward,
    gradient,
    inputs,
    matching,
    numerics,
    optimisation,
    output,
    structure,
    units,
    weights,
)
from gainstage.rules.judge import judge
from gainstage.rules.table import SECTIONS, Rule, all_rules, get

__all__ = ["SECTIONS", "Rule", "all_rules", "get", "judge"]

# Importing a family enters its rules into the table.
_FAMILIES = (
    forward, units, gradient, weights, structure, output, matching, inputs, optimisation, numerics, doubts,
)  # fmt: skip
