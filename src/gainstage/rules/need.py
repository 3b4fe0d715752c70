"""What a rule needs to speak; without it the rule is listed as not judged."""

from __future__ import annotations

from gainstage.records import LossFacts, OptimizerFacts, OutputFacts, Profile, TargetFacts
from gainstage.rules.table import Lacking

__all__ = ["need_backward", "need_examples", "need_loss", "need_optimizer", "need_output", "need_target"]


def need_backward(profile: Profile) -> None:
    """Raises Lacking without a backward pass."""
    if not profile.backward:
        raise Lacking("no backward pass was made")


def need_examples(profile: Profile, least: int = 2) -> int:
    """The number of examples in the batch; raises Lacking when they are too few to compare."""
    if profile.task.examples < least:
        raise Lacking(f"a batch of at least {least} examples is needed")
    return profile.task.examples


def need_loss(profile: Profile) -> LossFacts:
    """The loss; raises Lacking when none was given."""
    loss = profile.task.loss
    if loss is None or loss.kind == "surrogate":
        raise Lacking("no loss was given")
    return loss


def need_output(profile: Profile) -> OutputFacts:
    """What the loss sees; raises Lacking when it is not known."""
    if profile.task.output is None:
        raise Lacking("the model's output is not known")
    return profile.task.output


def need_target(profile: Profile) -> TargetFacts:
    """The labels; raises Lacking when there are none."""
    if profile.task.target is None:
        raise Lacking("no labels were given")
    return profile.task.target


def need_optimizer(profile: Profile) -> OptimizerFacts:
    """The optimizer; raises Lacking when none was given."""
    if profile.task.optimizer is None:
        raise Lacking("no optimizer was given")
    return profile.task.optimizer
