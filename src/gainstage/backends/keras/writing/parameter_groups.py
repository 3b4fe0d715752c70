"""Learning rates by weight, which Keras's optimizers do not have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from gainstage.errors import InputError

__all__ = ["parameter_groups"]


def parameter_groups(model: Any, settings: Mapping[str, Mapping[str, Any]], learning_rate: float) -> NoReturn:  # noqa: ARG001
    """Say that there is no such thing.

    Raises:
        InputError: always.
    """
    raise InputError(
        "Keras's optimizers have one learning rate for all weights, and no parameter groups. Multiply each gradient "
        "step by its factor in a train_step of your own, or train the model in PyTorch; "
        "gainstage.initialize(model, 'mup', x=x) sets the weights all the same."
    )
