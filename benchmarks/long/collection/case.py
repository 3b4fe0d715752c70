"""One architecture of the collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

__all__ = ["Architecture", "Family", "chain", "images", "normal", "tokens"]

Family = Literal["fully connected", "convolutional", "residual", "normalised", "attention", "gated", "recurrent"]

_LOOSE: frozenset[Family] = frozenset({"attention", "gated", "recurrent"})


@dataclass(frozen=True, slots=True)
class Architecture:
    """How to build it, and what to feed it.

    Args:
        name: of the row.
        family: decides which tolerance applies.
        build: a new model; its weights are drawn from PyTorch's random state.
        batch: a new batch, from the same state.
        scheme: the named scheme that draws the weights; None keeps what the model's own code draws.
        real: the data set whose images it also takes, flattened if the batch is; None without.
    """

    name: str
    family: Family
    build: Callable[[], nn.Module]
    batch: Callable[[], Any]
    scheme: str | None = None
    real: str | None = None

    @property
    def tolerance(self) -> float:
        """The relative error that is no error, whatever the sampling error."""
        return 0.15 if self.family in _LOOSE else 0.02


def normal(*shape: int) -> Callable[[], torch.Tensor]:
    """Independent standard normals."""
    return lambda: torch.randn(shape)


def images(examples: int, channels: int, size: int) -> Callable[[], torch.Tensor]:
    """Images of independent standard normals."""
    return normal(examples, channels, size, size)


def tokens(examples: int, length: int, vocabulary: int) -> Callable[[], torch.Tensor]:
    """Uniform token ids."""
    return lambda: torch.randint(3, vocabulary, (examples, length))


def chain(*layers: nn.Module | None) -> nn.Sequential:
    """A sequence without what is None."""
    return nn.Sequential(*(layer for layer in layers if layer is not None))
