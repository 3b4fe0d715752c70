"""Gradient and update of the first steps, for one model or for many at once."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from gainstage.records.training import FirstStep

__all__ = ["Watch"]


class Watch:
    """Measures single steps of one or more trainings.

    Args:
        parameters: trainable ones by path in the model's order; stacked along a first axis where there is one.
        trainings: length of that axis; 0 where there is none.
    """

    def __init__(self, parameters: Mapping[str, Tensor], trainings: int = 0) -> None:
        self._parameters = parameters
        self._keep = min(trainings, 1)
        weights = [path for path, p in parameters.items() if p.ndim - self._keep >= 2] or list(parameters)
        self._ends = weights[0], weights[-1]
        self._before: dict[str, Tensor] = {}
        self._steps: list[tuple[int, list[Tensor]]] = []

    def before(self, gradients: Mapping[str, Tensor]) -> list[Tensor]:
        """Norms of all gradients, of the first weight's and of the last one's; keeps a copy of the weights."""
        self._before = {path: p.detach().clone() for path, p in self._parameters.items()}
        first, last = self._ends
        return [self._norm(gradients), self._norm({first: gradients[first]}), self._norm({last: gradients[last]})]

    def after(self, step: int, gradients: list[Tensor]) -> None:
        """The step has been made."""
        moved = {path: p.detach() - self._before[path] for path, p in self._parameters.items()}
        self._steps.append((step, [*gradients, self._norm(moved), self._norm(self._before)]))

    def _norm(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Over everything but the axis of trainings."""
        squares = [t.double().square().flatten(self._keep).sum(-1) for t in tensors.values()]
        return torch.stack(squares).sum(0).sqrt().cpu()

    def steps(self, training: int | None = None, last: float = math.inf) -> tuple[FirstStep, ...]:
        """What was measured of one training, up to its ``last`` step."""
        return tuple(
            FirstStep(step, *(float(f if training is None else f[training]) for f in figures))
            for step, figures in self._steps
            if step <= last
        )
