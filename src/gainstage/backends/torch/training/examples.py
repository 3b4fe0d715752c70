"""A dataset as tensors: the order in which examples are seen, and looks at them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gainstage.data import IGNORED, Dataset

__all__ = ["Examples", "look", "order"]

LOOKED_AT = 4096
"""At most so many training examples are looked at after a training: the first ones, and they come shuffled."""

Judge = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]
"""From (x, y) to the mean loss and the number of right guesses: numbers, or one a training."""


@dataclass(frozen=True, slots=True)
class Examples:
    """A dataset on a device.

    Args:
        x, y: to train on.
        x_validation, y_validation: held back.
        classes: how many; 0 for a regression.
        chance_loss: of the best constant guess.
        chance_accuracy: likewise; None for a regression.
    """

    x: Tensor
    y: Tensor
    x_validation: Tensor
    y_validation: Tensor
    classes: int
    chance_loss: float
    chance_accuracy: float | None

    @classmethod
    def of(cls, dataset: Dataset, device: torch.device | str = "cpu") -> Examples:
        """Move a dataset.

        >>> from gainstage.data import gaussian
        >>> Examples.of(gaussian(classes=3, features=2, examples=300)).x.shape
        torch.Size([240, 2])
        """
        arrays = (dataset.x_train, dataset.y_train, dataset.x_validation, dataset.y_validation)
        # Arrays that come from another process cannot be written to, and PyTorch knows no such tensors.
        own = (array if array.flags.writeable else array.copy() for array in arrays)
        x, y, x_validation, y_validation = (torch.from_numpy(array).to(device) for array in own)
        return cls(x, y, x_validation, y_validation, dataset.classes, *dataset.chance)


def order(examples: int, batch: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Indices of every batch: drawn without replacement, epoch after epoch; what does not fill a batch is left out.

    >>> first, second = order(examples=5, batch=2, steps=2, seed=0)
    >>> len({*first.tolist(), *second.tolist()})
    4
    """
    generator = torch.Generator().manual_seed(seed)
    batch = min(batch, examples)
    made = 0
    while made < steps:
        shuffled = torch.randperm(examples, generator=generator)
        for start in range(0, examples - batch + 1, batch):
            yield shuffled[start : start + batch]
            made += 1
            if made == steps:
                return


def look(judge: Judge, x: Tensor, y: Tensor, *, batch: int) -> tuple[Tensor, Tensor | None]:
    """Mean loss and share of right guesses over all examples, in float64; the share is None where nothing is right.

    Args:
        judge: judges one part.
        x, y: the examples; without any, both results are not a number.
        batch: examples in one part.
    """
    if not len(x):
        return torch.tensor(math.nan, dtype=torch.float64), None
    total, right = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for start in range(0, len(x), batch):
        part, target = x[start : start + batch], y[start : start + batch]
        loss, hits = judge(part, target)
        total = total + loss.double().cpu() * len(part)
        right = right + (math.nan if hits is None else hits.double().cpu())
    counted = int((y != IGNORED).sum()) if not y.is_floating_point() else y.numel()
    return total / len(x), None if bool(right.isnan().any()) or not counted else right / counted
