"""One model of the zoo, with what must come out of looking at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from gainstage.graph import KernelShape, Role

__all__ = ["Case", "Expected", "Loss", "normal", "tokens"]

Loss = Callable[[Any, Any], torch.Tensor]


@dataclass(frozen=True)
class Expected:
    """What is known of one parameter.

    Args:
        uses: one word ``operation.slot`` for every node that uses it, in any order; ``*`` leaves either of them open.
        role: what it is for.
        kernel: geometry of one block.
        blocks: equal matrices stacked along the output axis.
    """

    uses: str
    role: Role | None = None
    kernel: KernelShape | None = None
    blocks: int = 1


@dataclass(frozen=True, eq=False)
class Case:
    """One model with a batch.

    Args:
        name: of the case; unique in its table.
        build: makes the model, from the random state it is called in.
        inputs: makes the batch.
        targets: makes the labels, where the case has a loss.
        loss: called as ``loss(output, target)``.
        optimizer: makes an optimizer for the model.
        expects: for every pattern of parameter paths, what ties the parameters to operations; the first pattern that
            matches counts. A string is the ``uses`` of an ``Expected``.
        unreached: patterns of parameters that this batch does not reach.
        nondifferentiable: patterns of parameters that are used and get no gradient by the model's own doing.
        unknown: names of operations that have no place in the closed vocabulary.
        chance: the loss at equal probabilities, where that is where it should start.
        memoryless: whether the weights are on the meta device, so that there is nothing to measure.
    """

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Any]
    targets: Callable[[], torch.Tensor] | None = None
    loss: Loss | None = None
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] | None = None
    expects: Mapping[str, str | Expected] = field(default_factory=dict)
    unreached: tuple[str, ...] = ()
    nondifferentiable: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    chance: float | None = None
    memoryless: bool = False

    def __str__(self) -> str:
        return self.name

    def model(self, seed: int = 0) -> nn.Module:
        """The model; equal seeds give equal weights."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return self.build()

    def batch(self, seed: int = 0) -> tuple[Any, torch.Tensor | None]:
        """Inputs and labels; equal seeds give equal values."""
        with torch.random.fork_rng():
            torch.manual_seed(1000 + seed)
            return self.inputs(), self.targets() if self.targets else None


def normal(*shape: int) -> Callable[[], torch.Tensor]:
    """Standard normal values."""
    return lambda: torch.randn(*shape)


def tokens(vocabulary: int, *shape: int) -> Callable[[], torch.Tensor]:
    """Uniform integers below ``vocabulary``; labels too."""
    return lambda: torch.randint(0, vocabulary, shape)
