"""Reactions describes how outputs change when other examples of the batch, or the random numbers, change."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Reactions"]


@dataclass(frozen=True, slots=True)
class Reactions:
    """Outputs of a few examples, computed again with other examples beside them or other random numbers.

    Args:
        examples: number of examples that were run.
        leak: in evaluation mode, the change of the output of unchanged examples when the other half of the batch is
            replaced: the median over examples, over the root mean square of the output. None where the axis of examples
            is not established, or where the model does not accept a smaller batch.
        noise: in training mode, the variance of the output of one example between two draws of the model's random
            numbers, over the variance between examples. None where the model draws none.
        restless: whether, in evaluation mode, the same examples give another output with other random numbers.
        unread: in evaluation mode, the share of the input's places (positions and features, counted once for all
            examples) by which no output has a gradient. None where no input is differentiable.
        equal: whether, in evaluation mode, examples that differ all give the same output.
        copies: share of the labels that stand in the input, at a place which the output that they are compared with
            depends on; zero where that output does not depend on it. None where labels are no tokens of the input.
    """

    examples: int
    leak: float | None = None
    noise: float | None = None
    restless: bool | None = None
    unread: float | None = None
    equal: bool | None = None
    copies: float | None = None
