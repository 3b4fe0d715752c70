"""Looks at a model while it is trained: how far its weights have moved, and what gradient reached them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.backends.protocol import Watched
from gainstage.backends.torch.models.batch import first_output
from gainstage.backends.torch.training.criterion import Criterion
from gainstage.data import Dataset

__all__ = ["watch_training"]

EXAMPLES = 512
"""Validation examples of one look; they come shuffled."""


def watch_training(model: nn.Module, dataset: Dataset, loss: Any) -> Callable[[bool], Watched]:
    """Remember the first and the last weight, and return a function that compares them with what they are then.

    Args:
        model: about to be trained; gradients of the last step are read where they lie.
        dataset: whose validation examples are run where a look asks for it.
        loss: as a training takes it.

    >>> from gainstage.data import gaussian
    >>> net = nn.Linear(2, 3)
    >>> look = watch_training(net, gaussian(classes=3, features=2, examples=300), None)
    >>> look(True).moved_first
    0.0
    """
    weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    first, last = weights[0], weights[-1]
    before = [(p, p.detach().clone(), _norm(p.detach())) for p in (first, last)]
    x = torch.as_tensor(dataset.x_validation[:EXAMPLES])
    y = torch.as_tensor(dataset.y_validation[:EXAMPLES])
    criterion = Criterion.of(loss, dataset.classes)

    def look(validate: bool) -> Watched:
        moved = [_norm(p.detach() - was) / norm if norm > 0 else math.nan for p, was, norm in before]
        gradients = [math.nan if p.grad is None else _norm(p.grad) for p in (first, last)]
        found = _validated(model, criterion, x, y) if validate else (math.nan, math.nan)
        return Watched(moved[0], moved[1], gradients[0], gradients[1], *found)

    return look


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor))


@torch.no_grad()
def _validated(model: nn.Module, criterion: Criterion, x: Tensor, y: Tensor) -> tuple[float, float]:
    was_training = model.training
    model.eval()
    try:
        output = first_output(model(x))
        right = criterion.right(output, y)
        return float(criterion.loss(output, y)), math.nan if right is None else float(right) / len(x)
    finally:
        model.train(was_training)
