"""Reactions: what happens to outputs when other examples, or the random numbers, change."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Reactions"]


@dataclass(frozen=True, slots=True)
class Reactions:
    """Outputs of a few examples, computed again under other circumstances.

    Args:
        examples: how many examples were run.
        leak: in evaluation mode, the median over unchanged examples of the change of their output when the other half
            of the batch is replaced, over the root mean square of the output. None where it is not established which
            axis holds the examples, or where the model does not take a smaller batch.
        noise: in training mode, the variance of the output of one example between two draws of the model's random
            numbers, over the variance between examples. None where the model draws none.
        restless: whether, in evaluation mode, the same examples give another output with other random numbers.
        unread: in evaluation mode, the share of the input's places (positions and features, counted once for all
            examples) by which no output has a gradient. None where no input is differentiable.
        equal: whether, in evaluation mode, examples that differ all give the same output.
    """

    examples: int
    leak: float | None = None
    noise: float | None = None
    restless: bool | None = None
    unread: float | None = None
    equal: bool | None = None
