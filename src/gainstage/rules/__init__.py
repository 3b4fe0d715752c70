"""Profile → Findings → Diagnosis: what a measurement means, rule by rule."""

from gainstage.rules import (
    attention,
    collapse,
    coordinates,
    doubts,
    forward,
    gradient,
    hidden,
    inputs,
    loss_form,
    loss_terms,
    matching,
    numerics,
    optimisation,
    optimizer,
    output,
    precision,
    reactions,
    reading,
    scale,
    structure,
    sums,
    targets,
    units,
    unreached,
    weights,
    wiring,
)
from gainstage.rules.fitness import Fitness, fitness
from gainstage.rules.judge import judge
from gainstage.rules.table import SECTIONS, Rule, all_rules, selected
from gainstage.rules.training import TrainingRule, training_rules
from gainstage.rules.training.page import get

__all__ = [
    "SECTIONS", "Fitness", "Rule", "TrainingRule", "all_rules", "fitness", "get", "judge", "selected", "training_rules",
]  # fmt: skip

# Importing a family enters its rules into the table.
_FAMILIES = (
    forward, scale, units, hidden, attention, reading, collapse, sums, gradient, unreached, weights, structure, output,
    loss_form, loss_terms, matching, targets, inputs, coordinates, optimisation, optimizer, numerics, precision,
    reactions, wiring, doubts,
)  # fmt: skip
