"""Optimizers for one model, and the same optimizer over the stacked parameters of many."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.backends.torch.training.objectives import OPTIMIZERS
from gainstage.errors import InputError, UnknownNameError, require_number

__all__ = ["Factory", "Stacked", "make", "optimizer_name", "unstackable"]

Factory = Callable[[Any, float], torch.optim.Optimizer]
"""From the trainable parameters and a learning rate to an optimizer."""

_ELEMENTWISE = (
    torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad,
    torch.optim.Adadelta, torch.optim.Adamax, torch.optim.NAdam, torch.optim.RAdam,
)  # fmt: skip
"""What one number becomes depends on its own history alone, so that stacked tensors are many optimizers at once."""

_FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad)
"""Those that PyTorch also has as one pass over memory."""


def make(optimizer: str | Factory, parameters: Sequence[nn.Parameter], learning_rate: float) -> torch.optim.Optimizer:
    """An optimizer over trainable parameters.

    Raises:
        UnknownNameError: there is none of that name.
        InputError: the rate is not a positive number, nothing is trainable, or the factory returns something else.
    """
    learning_rate = require_number(learning_rate, "The learning rate")
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise InputError(f"The learning rate must be a positive number; received {learning_rate}.")
    if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
        raise UnknownNameError("optimizer", optimizer, OPTIMIZERS)
    if not parameters:
        raise InputError("The model has no trainable parameter to optimize.")
    factory = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer
    try:
        made = factory(list(parameters), learning_rate)
    except Exception as error:
        raise InputError(f"The optimizer could not be made: {type(error).__name__}: {error}") from error
    if not isinstance(made, torch.optim.Optimizer):
        raise InputError(
            f"An optimizer factory takes (parameters, learning_rate) and returns a torch.optim.Optimizer; received "
            f"a {type(made).__name__} from it. For example: lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9)."
        )
    return made


def optimizer_name(optimizer: str | Factory) -> str:
    """In a word."""
    return optimizer if isinstance(optimizer, str) else getattr(optimizer, "__name__", type(optimizer).__name__)


def unstackable(optimizer: torch.optim.Optimizer) -> str:
    """Why many trainings cannot share this optimizer; empty where they can."""
    if type(optimizer) in _ELEMENTWISE:
        return ""
    return f"{type(optimizer).__name__} is not known to treat every parameter value on its own"


class Stacked:
    """One optimizer for many trainings: parameters of shape (trainings, …), each training with its own rate.

    A block of neighbours of one rate gets PyTorch's own optimizer over views of the stacked tensors, with the groups
    and settings that the factory gives to a single model; elementwise arithmetic does the rest.

    Args:
        parameters: by path, stacked; a training's rows are its parameters.
        rates: of every training, equal ones side by side.
        single: an optimizer over a single model's ``(path, parameter)`` for every rate.
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], rates: Sequence[float], single: Mapping[float, torch.optim.Optimizer],
        paths: Mapping[nn.Parameter, str],
    ) -> None:  # fmt: skip
        self._optimizers: list[torch.optim.Optimizer] = []
        self._views: list[tuple[Tensor, str, slice]] = []
        for rate, block in _blocks(rates):
            groups = [
                {**group, "params": [self._view(parameters, paths[p], block) for p in group["params"]]}
                for group in single[rate].param_groups
            ]
            made = type(single[rate])(groups)  # type: ignore[call-arg]
            for group in made.param_groups:
                if type(made) in _FUSED and _can_fuse(group):
                    group["fused"] = True
            self._optimizers.append(made)

    def _view(self, parameters: Mapping[str, Tensor], path: str, block: slice) -> Tensor:
        view = parameters[path].detach()[block]
        self._views.append((view, path, block))
        return view

    def step(self, gradients: Mapping[str, Tensor]) -> None:
        """Move all parameters, in place.

        Args:
            gradients: by path, stacked as the parameters.
        """
        for view, path, block in self._views:
            view.grad = gradients[path][block].contiguous()  # fused kernels walk through memory, whatever the strides
        for optimizer in self._optimizers:
            optimizer.step()


def _blocks(rates: Sequence[float]) -> list[tuple[float, slice]]:
    edges = [0, *(i for i in range(1, len(rates)) if rates[i] != rates[i - 1]), len(rates)]
    return [(rates[a], slice(a, b)) for a, b in pairwise(edges)]


def _can_fuse(group: Mapping[str, Any]) -> bool:
    asked = any(group.get(option) for option in ("foreach", "capturable", "differentiable"))
    return not asked and all(p.is_floating_point() and not p.is_complex() for p in group["params"])
