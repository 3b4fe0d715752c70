"""Losses and optimizers by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from gainstage.errors import InputError, UnknownNameError

__all__ = ["LOSSES", "OPTIMIZERS", "loss_function", "optimizer"]

Loss = Callable[[Tensor, Tensor], Tensor]


def _cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    # A language model keeps its classes last: (batch, positions, classes) against (batch, positions).
    if output.ndim == 3 and output.shape[:2] == target.shape and output.shape[2:] != target.shape[1:]:
        output, target = output.flatten(0, 1), target.flatten()
    try:
        return functional.cross_entropy(output, target)
    except IndexError as error:
        raise InputError(
            f"Labels go from {int(target.min())} to {int(target.max())}, and the model's output has {output.shape[1]} "
            "classes. Labels count from 0 and stay below the number of outputs."
        ) from error


def _shaped_like(loss: Loss) -> Loss:
    """Regressions of one output meet targets without that axis; broadcasting them silently would compare all pairs."""

    def measure(output: Tensor, target: Tensor) -> Tensor:
        if output.ndim == target.ndim + 1 and output.shape[-1] == 1:
            target = target.unsqueeze(-1)
        if output.shape != target.shape:
            raise InputError(f"The output has the shape {tuple(output.shape)}, the target {tuple(target.shape)}.")
        return loss(output, target.to(output.dtype))

    return measure


LOSSES: Mapping[str, Loss] = {
    "cross_entropy": _cross_entropy,
    "nll": functional.nll_loss,
    "bce": _shaped_like(functional.binary_cross_entropy),
    "bce_logits": _shaped_like(functional.binary_cross_entropy_with_logits),
    "mse": _shaped_like(functional.mse_loss),
    "l1": _shaped_like(functional.l1_loss),
    "huber": _shaped_like(functional.huber_loss),
}
"""Means over the batch, under the names that gainstage gives to kinds of loss."""

OPTIMIZERS: Mapping[str, Callable[[Iterable[nn.Parameter], float], torch.optim.Optimizer]] = {
    "sgd": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate),
    "momentum": lambda parameters, rate: torch.optim.SGD(parameters, lr=rate, momentum=0.9),
    "adam": lambda parameters, rate: torch.optim.Adam(parameters, lr=rate),
    "adamw": lambda parameters, rate: torch.optim.AdamW(parameters, lr=rate),
    "rmsprop": lambda parameters, rate: torch.optim.RMSprop(parameters, lr=rate),
}
"""With PyTorch's defaults for everything but the learning rate."""


def loss_function(name: str) -> Loss:
    """A loss of (output, target) by name.

    Raises:
        UnknownNameError: there is none of that name.

    >>> loss_function("mse")(torch.ones(2, 1), torch.zeros(2)).item()
    1.0
    """
    try:
        return LOSSES[name]
    except KeyError:
        raise UnknownNameError("loss", name, LOSSES) from None


def optimizer(name: str, model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """An optimizer over the trainable parameters of a model.

    Raises:
        UnknownNameError: there is none of that name.
        InputError: the learning rate is not a positive number, or nothing is trainable.

    >>> optimizer("adam", nn.Linear(2, 2), 1e-3).param_groups[0]["lr"]
    0.001
    """
    if name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", name, OPTIMIZERS)
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise InputError(f"The learning rate must be a positive number; received {learning_rate}.")
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise InputError(f"'{type(model).__name__}' has no trainable parameter to optimize.")
    return OPTIMIZERS[name](parameters, learning_rate)
