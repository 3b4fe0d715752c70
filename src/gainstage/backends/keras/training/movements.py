"""Keras optimizers have one rate for all weights, so that a training with the rates of muP is not made here."""

from __future__ import annotations

from typing import Any, NoReturn

from gainstage.errors import InputError

__all__ = ["movements"]


def movements(model: Any, inputs: Any, target: Any, **settings: Any) -> NoReturn:  # noqa: ARG001
    """Say that nothing is trained here.

    Raises:
        InputError: always.
    """
    raise InputError(
        "How far steps of training move a Keras model's outputs is not measured. Leave steps out: signal, gradient and "
        "first update are predicted for Keras models as well."
    )
