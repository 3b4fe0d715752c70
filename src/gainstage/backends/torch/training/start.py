"""Where a training starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

__all__ = ["OnSteps", "Start"]

OnSteps = Callable[[int, Sequence[float]], None]
"""Called after every step with the number of steps made and the loss of every training's last batch."""


@dataclass(frozen=True, slots=True)
class Start:
    """One training to come.

    Args:
        model: with the weights it starts from.
        learning_rate: constant.
        seed: of the order of examples, and of the model's own randomness.
        label: for charts.
    """

    model: nn.Module
    learning_rate: float
    seed: int = 0
    label: str = ""
