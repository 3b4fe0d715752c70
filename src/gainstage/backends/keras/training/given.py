"""A loss and an optimizer in every form in which a user gives them."""

from __future__ import annotations

from typing import Any

import keras

from gainstage.backends.keras.training.objectives import LOSSES, loss_named, optimizer_named
from gainstage.errors import InputError

__all__ = ["loss_of", "optimizer_of"]


_FACTORY = "A function that makes an optimizer takes a learning rate and returns a Keras optimizer;"


def loss_of(loss: Any, *, labelled: bool = True) -> Any:
    """Turn a loss as it was given into what Keras takes: gainstage's names become Keras's losses.

    Args:
        loss: a name of gainstage or of Keras, an object or class of Keras, a function of ``(y_true, y_pred)``, or a
            list or dict of these, one an output; None stays None.
        labelled: whether there are labels, which a loss by name needs.

    Raises:
        UnknownNameError: there is no loss of that name.
        InputError: a name without labels.

    >>> loss_of("cross_entropy").from_logits, loss_of({"a": "mean_squared_error"})
    (True, {'a': 'mean_squared_error'})
    """
    if isinstance(loss, str):
        known = loss_named(loss)
        if not labelled:
            raise InputError(f"The loss '{loss}' compares the output with labels, and none were given. Pass y.")
        return known if loss in LOSSES else loss
    if isinstance(loss, dict):
        return {name: loss_of(one, labelled=labelled) for name, one in loss.items()}
    if isinstance(loss, (list, tuple)):
        return type(loss)(loss_of(one, labelled=labelled) for one in loss)
    return loss


def optimizer_of(model: Any, optimizer: Any, learning_rate: float | None) -> Any:  # noqa: ARG001
    """Turn an optimizer as it was given into one of Keras.

    Args:
        model: not needed; Keras binds an optimizer to weights later.
        optimizer: an object, which is returned; or a name, or a function of a learning rate, also a class such as
            ``keras.optimizers.SGD``; None stays None.
        learning_rate: of an optimizer that is made here.

    Raises:
        UnknownNameError: there is no optimizer of that name.
        InputError: a rate is missing, not positive or one too many, or it is none of these.

    >>> optimizer_of(None, "momentum", 0.1).momentum
    0.9
    """
    if isinstance(optimizer, keras.optimizers.Optimizer) or optimizer is None:
        if learning_rate is not None:
            holder = "There is no optimizer to use it" if optimizer is None else "An optimizer object has its own rate"
            raise InputError(f"{holder}; received learning_rate={learning_rate!r} as well. Leave one of them out.")
        return optimizer
    if not isinstance(optimizer, str) and not callable(optimizer):
        raise InputError(
            f"Expected a Keras optimizer, received {type(optimizer).__name__}. Pass an object such as "
            "keras.optimizers.SGD(learning_rate=0.1), a name such as 'adam', or a function of a learning rate."
        )
    if learning_rate is None:
        raise InputError(
            f"The size of the first step hangs on the learning rate, and the optimizer {optimizer!r:.60} has none. "
            "Pass learning_rate, e.g. learning_rate=1e-3."
        )
    if isinstance(optimizer, str):
        return optimizer_named(optimizer, learning_rate)
    try:
        made = optimizer(learning_rate)
    except TypeError as error:
        raise InputError(f"{_FACTORY} {optimizer!r:.60} raised TypeError: {error}") from error
    if not isinstance(made, keras.optimizers.Optimizer):
        raise InputError(
            f"{_FACTORY} {optimizer!r:.60} returned a {type(made).__name__}. For example: "
            "lambda rate: keras.optimizers.SGD(rate, momentum=0.9)."
        )
    return made
