"""Profile → Findings → Diagnosis: what a measurement means, rule by rule."""

from gainstage.rules import (
    attention,
    collapse,
    coordinates,
    doubts,
    experts,
    forward,
    gradient,
    hidden,
    holding,
    inputs,
    loss_axes,
    loss_form,
    loss_terms,
    matching,
    numerics,
    optimisation,
    optimizer,
    output,
    overfit,
    precision,
    reactions,
    reading,
    scale,
    state_space,
    structure,
    sums,
    target_data,
    targets,
    units,
    unreached,
    weights,
    wiring,
)
from gainstage.rules.fitness import Fitness, fitness, widened
from gainstage.rules.judge import judge
from gainstage.rules.table import SECTIONS, Rule, all_rules, selected
from gainstage.rules.training import TrainingRule, training_rules
from gainstage.rules.training.page import get

__all__ = [
    "SECTIONS", "Fitness", "Rule", "TrainingRule", "all_rules", "fitness", "get", "judge", "selected",
    "training_rules", "widened",
]  # fmt: skip

# Importing a family enters its rules into the table.
_FAMILIES = (
    forward, scale, units, hidden, attention, reading, collapse, sums, gradient, unreached, weights, structure, output,
    loss_form, loss_axes, loss_terms, matching, targets, target_data, inputs, coordinates, optimisation, optimizer,
    overfit, numerics, precision, reactions, wiring, holding, experts, state_space, doubts,
)  # fmt: skip
