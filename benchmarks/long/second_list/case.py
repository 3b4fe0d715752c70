"""One architecture of the second list, and the blocks that several of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

__all__ = ["Case", "Classifier", "act_conv", "images", "ids", "vectors"]


@dataclass(frozen=True, slots=True)
class Case:
    """One architecture of the list: a function that builds it and a batch to feed it.

    Args:
        name: of the row; the coin reads it.
        style: what is special in it, a few words.
        build: a new model, whose weights its own code draws from PyTorch's random state.
        batch: a new batch of so many examples, from the same state.
        class_token: whether one position of a tensor is of another kind than the others.
        scheme: the recipe that draws the weights; None keeps those of its own code.
    """

    name: str
    style: str
    build: Callable[[], nn.Module]
    batch: Callable[[int], Any]
    class_token: bool = False
    scheme: str | None = None


def images(size: int = 32, channels: int = 3) -> Callable[[int], torch.Tensor]:
    """Images of independent standard normals."""
    return lambda examples: torch.randn(examples, channels, size, size)


def ids(length: int = 24, vocabulary: int = 200) -> Callable[[int], torch.Tensor]:
    """Uniform token ids."""
    return lambda examples: torch.randint(5, vocabulary, (examples, length))


def vectors(*shape: int) -> Callable[[int], torch.Tensor]:
    """Independent standard normals."""
    return lambda examples: torch.randn(examples, *shape)


def act_conv(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: type[nn.Module] | None = nn.ReLU
) -> nn.Sequential:
    """Convolution, batch norm, activation."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([act()] if act is not None else []))


class Classifier(nn.Module):
    """A body that returns maps, their mean, and a linear head."""

    def __init__(self, width: int, *body: nn.Module, classes: int = 10) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(*body), nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))
