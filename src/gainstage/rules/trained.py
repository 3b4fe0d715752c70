"""Evidence that a network was trained, so that rules about starts keep silent."""

from __future__ import annotations

from gainstage.graph import Role
from gainstage.records import LossFacts, Profile, Task
from gainstage.rules.words import figure

__all__ = ["trained_evidence"]

BELOW_CHANCE = 0.5
"""Share of the loss of the best constant guess. A start knows nothing of the labels: its expected loss on them is at
least that of the best constant guess, and half of it is many standard errors below for eight examples or more."""
FEWEST = 8  # examples
LEAST_CHANCE = 0.35  # nats: one label in nine differs; less even classes are guessed well by a bias alone


def trained_evidence(profile: Profile) -> str:
    """Return the evidence that a network was trained; empty where there is none.

    One of three is enough. None of them occurs at a start:

    - the loss is below half of what the best constant guess reaches on class labels. Targets of values and of tokens do
      not count, since a start that copies its input is close to those that resemble it;
    - the optimizer has made steps;
    - all normalisations, at least two, have scales *and* shifts that differ from unit to unit. Starts set both to
      constants; those that draw the scales (DCGAN) leave the shifts at zero.

    Args:
        profile: measured; a predicted one has no such evidence.
    """
    if profile.source.kind != "measured":
        return ""
    loss, optimizer = profile.task.loss, profile.task.optimizer
    if loss is not None and loss.chance is not None and _knows_its_labels(profile.task, loss):
        return f"the loss is {figure(loss.value)}, and a constant guess reaches {figure(loss.chance)}"
    if optimizer is not None and optimizer.steps:
        return f"the optimizer has made {optimizer.steps} steps"
    return _by_norms(profile)


def _knows_its_labels(task: Task, loss: LossFacts) -> bool:
    """Report whether the loss on class labels is far below that of a constant guess."""
    of_classes = task.target is not None and task.target.kind in ("classes", "one_hot", "binary")
    tokens = any(facts.kind == "tokens" for facts in task.inputs)
    comparable = loss.mean_reduced and loss.alone and loss.chance is not None and loss.chance > LEAST_CHANCE
    if not of_classes or tokens or not comparable or task.examples < FEWEST:
        return False
    return loss.value < BELOW_CHANCE * (loss.chance or 0.0)


def _by_norms(profile: Profile) -> str:
    by_role = {
        role: [p for p in profile.parameters if profile.parameter(p).role is role and p.weight.count > 1]
        for role in (Role.NORM_SCALE, Role.NORM_SHIFT)
    }
    scales, shifts = by_role.values()
    varied = all(not p.constant and p.weight.variance > 0 for p in (*scales, *shifts))
    if len(scales) < 2 or len(shifts) < 2 or not varied:
        return ""
    return f"scales and shifts of all {len(scales)} normalisations differ from unit to unit"
