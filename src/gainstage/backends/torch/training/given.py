"""A loss and an optimizer in every form in which a user gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.backends.torch.models.batch import first_output
from gainstage.backends.torch.tracing.trace import unwrap
from gainstage.backends.torch.training.objectives import Loss, loss_function
from gainstage.backends.torch.training.optimizers import make
from gainstage.errors import InputError

__all__ = ["loss_of", "optimizer_of"]


def loss_of(loss: str | type[nn.Module] | Loss | None, *, labelled: bool = True) -> Callable[[Any, Any], Any] | None:
    """Turn a loss as it was given into a function of (output, target).

    Args:
        loss: a name, a function, a module such as ``nn.CrossEntropyLoss()`` or its class; None stays None.
        labelled: whether there are labels, which a loss by name needs.

    Raises:
        UnknownNameError: there is no loss of that name.
        InputError: it is none of these, or a name without labels.

    >>> loss_of("mse")(torch.ones(2, 1), torch.zeros(2)).item()
    1.0
    """
    if loss is None:
        return None
    if isinstance(loss, str):
        known = loss_function(loss)
        if not labelled:
            raise InputError(f"The loss '{loss}' compares the output with labels, and none were given. Pass y.")

        def measure(output: Any, target: Tensor) -> Tensor:
            return known(first_output(output), target)

        return measure
    made = loss() if isinstance(loss, type) and issubclass(loss, nn.Module) else loss
    if not callable(made):
        raise InputError(
            f"A loss is a name such as 'cross_entropy', or a function of (output, target); received {loss!r:.60}."
        )
    return made


def optimizer_of(model: Any, optimizer: Any, learning_rate: float | None) -> torch.optim.Optimizer | None:
    """Turn an optimizer as it was given into one over the model's trainable parameters.

    Args:
        model: the module.
        optimizer: an object, which is returned; or a name or a function of (parameters, learning rate), also a class
            such as ``torch.optim.SGD``; None stays None.
        learning_rate: of an optimizer that is made here.

    Raises:
        UnknownNameError: there is no optimizer of that name.
        InputError: a rate is missing, not positive or one too many, or it is none of these.

    >>> optimizer_of(nn.Linear(2, 2), "momentum", 0.1).defaults["momentum"]
    0.9
    """
    if isinstance(optimizer, torch.optim.Optimizer) or optimizer is None:
        if learning_rate is not None:
            holder = "An optimizer object has its own learning rate" if optimizer else "There is no optimizer to use it"
            raise InputError(f"{holder}; received learning_rate={learning_rate!r} as well. Leave one of them out.")
        return optimizer
    if not isinstance(optimizer, str) and not callable(optimizer):
        raise InputError(
            f"Expected a torch.optim.Optimizer, received {type(optimizer).__name__}. Pass an object such as "
            "torch.optim.SGD(model.parameters(), lr=0.1), a name such as 'adam', or a function of (parameters, "
            "learning_rate)."
        )
    if learning_rate is None:
        raise InputError(
            f"The size of the first step hangs on the learning rate, and the optimizer {optimizer!r:.60} has none. "
            "Pass learning_rate, e.g. learning_rate=1e-3."
        )
    return make(optimizer, [p for p in unwrap(model).parameters() if p.requires_grad], learning_rate)
