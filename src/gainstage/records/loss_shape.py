"""LossShape describes the loss as a function of the model's outputs alone."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LossShape"]


@dataclass(frozen=True, slots=True)
class LossShape:
    """The loss as a function of the outputs alone: the targets are fixed, and no model is run.

    The outputs are optimized in *free coordinates*, which may take any value: the outputs themselves, or the inputs of
    a last sigmoid, tanh or softmax.

    Args:
        examples: number of examples whose outputs were optimized.
        start: the loss at the model's outputs.
        lowest: the lowest loss that optimizing the outputs reached.
        growth: the power of the distance with which the loss decreases without bound along a ray of steepest descent,
            over four decades of distance: 1 for proportional, 2 for quadratic. None where the decrease ends.
        slope: root mean square of the loss's gradient at the start, times the number of outputs.
        steepest: the largest such value on the path to ``lowest``.
        towards: share of examples whose steepest descent moves their output towards their target; None where output and
            target cannot be compared.
        responds: standard deviation across examples of the outputs of lowest loss, over the distance that they moved;
            zero where every target leads to the same output. None where targets hardly differ, or where no output
            moved.
        own_rank: rank of the target's class among all classes at ``lowest``, averaged over examples: 1 where it is the
            largest, 0 where it is the smallest. None unless each example has one class label.
        correlation: Pearson correlation between outputs of lowest loss and targets, where both are values of one shape.
        distance: root mean square difference between outputs of lowest loss and targets, over the standard deviation of
            the targets, where the model's last function bounds the outputs and can reach the targets.
        uninformed: the loss at outputs that do not depend on the example: equal logits for class labels and for values
            of zero and one, the mean of the targets for other values. None where output and target cannot be compared.
        at_target: the loss where the outputs equal the targets; None where they cannot be equal.
        linear: whether the loss decreases along that ray with the slope that it has at the start, to 1e-4.
        ignored: share of examples whose outputs do not matter to the loss, where all of these, and no others, have one
            target value. None where outputs and targets are no values of one shape.
        alike: spread over the units of one example of the outputs of lowest loss, over that of its targets: zero where
            all units end alike although their targets differ. None where an example has one target.
        elsewhere: whether adding a number to all logits of one position changes the loss, while adding one to the
            logits of one class along another axis does not: a softmax over the wrong axis.
        reads_target: whether the loss changes when examples exchange their targets.
    """

    examples: int
    start: float
    lowest: float
    growth: float | None
    slope: float
    steepest: float
    towards: float | None = None
    responds: float | None = None
    own_rank: float | None = None
    correlation: float | None = None
    distance: float | None = None
    uninformed: float | None = None
    at_target: float | None = None
    reads_target: bool = True
    linear: bool = False
    ignored: float | None = None
    alike: float | None = None
    elsewhere: bool = False

    @property
    def unbounded(self) -> bool:
        """Report whether the loss decreases without bound."""
        return self.growth is not None
