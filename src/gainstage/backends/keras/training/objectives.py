"""Losses and optimizers by gainstage's names, the same as in PyTorch, or by Keras's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from keras import losses, ops, optimizers

from gainstage.backends.keras.models.batch import prepare
from gainstage.backends.keras.tracing.trace import materialise, program_of, require_model
from gainstage.errors import InputError, UnknownNameError
from gainstage.graph import Operation, nearest_before

__all__ = ["LOSSES", "OPTIMIZERS", "default_loss", "loss_named", "optimizer_named", "word_for"]

_OUTWARD = frozenset({Operation.RESHAPE, Operation.DROPOUT, Operation.REDUCTION})


def _nll(labels: Any, logarithms: Any) -> Any:
    """Mean negative log-likelihood of class numbers, from the logarithms of probabilities."""
    chosen = ops.one_hot(ops.cast(labels, "int32"), logarithms.shape[-1], dtype=logarithms.dtype)
    return -ops.mean(ops.sum(chosen * logarithms, axis=-1))


LOSSES: Mapping[str, Callable[[], Any]] = {
    "cross_entropy": lambda: losses.SparseCategoricalCrossentropy(from_logits=True),
    "nll": lambda: _nll,
    "bce": losses.BinaryCrossentropy,
    "bce_logits": lambda: losses.BinaryCrossentropy(from_logits=True),
    "mse": losses.MeanSquaredError,
    "l1": losses.MeanAbsoluteError,
    "huber": losses.Huber,
}
"""Means over the batch, under the names that gainstage gives to kinds of loss."""

OPTIMIZERS: Mapping[str, Callable[[float], Any]] = {
    "sgd": lambda rate: optimizers.SGD(rate),
    "momentum": lambda rate: optimizers.SGD(rate, momentum=0.9),
    "adam": lambda rate: optimizers.Adam(rate),
    "adamw": lambda rate: optimizers.AdamW(rate),
}
"""With Keras's defaults for everything but the learning rate."""


def loss_named(name: str) -> Any:
    """A loss of (labels, output) by gainstage's name, or by one that Keras knows.

    Raises:
        UnknownNameError: there is none of that name.

    >>> loss_named("cross_entropy").from_logits, loss_named("kl_divergence").__name__
    (True, 'kl_divergence')
    """
    if name in LOSSES:
        return LOSSES[name]()
    try:
        return losses.get(name)
    except ValueError:
        known = [*LOSSES, *(n for n in dir(losses) if n[0].islower() and callable(getattr(losses, n)))]
        raise UnknownNameError("loss", name, known) from None


def optimizer_named(name: str, learning_rate: float) -> Any:
    """An optimizer by gainstage's name, or by one that Keras knows.

    Raises:
        UnknownNameError: there is none of that name.
        InputError: the learning rate is not a positive number.

    >>> optimizer_named("momentum", 0.1).momentum
    0.9
    """
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise InputError(f"The learning rate must be a positive number; received {learning_rate}.")
    if name in OPTIMIZERS:
        return OPTIMIZERS[name](learning_rate)
    try:
        found = optimizers.get(name)
    except ValueError:
        raise UnknownNameError("optimizer", name, [*OPTIMIZERS, "rmsprop", "lion", "nadam"]) from None
    found.learning_rate = learning_rate
    return found


def word_for(given: Any) -> str:
    """Name a loss or an optimizer in one word: by its own name, or by that of its class.

    >>> word_for("adam"), word_for(optimizers.SGD), word_for(losses.Huber())
    ('adam', 'SGD', 'huber_loss')
    """
    if isinstance(given, str):
        return given
    named: str = getattr(given, "__name__", None) or getattr(given, "name", None) or type(given).__name__
    return named


def default_loss(model: Any, inputs: Any, classes: int) -> Any:
    """The loss that goes with what a model returns: probabilities or logits of classes, or values.

    Args:
        model: runs on symbols only.
        inputs: a batch it takes.
        classes: how many different labels there can be; 0 for a regression.

    >>> import keras, numpy as np
    >>> model = keras.Sequential([keras.layers.Dense(10, activation="softmax")])
    >>> default_loss(model, np.ones((2, 4), "float32"), 10).from_logits
    False
    """
    if not classes:
        return losses.MeanSquaredError()
    model = require_model(model)
    materialise(model, inputs)
    graph = program_of(model, prepare(inputs)).graph
    last = nearest_before(
        graph, graph.outputs[0], lambda n: n.operation in (Operation.ACTIVATION, Operation.SOFTMAX), through=_OUTWARD
    )
    function = graph.nodes[last[0]].function if len(last) == 1 else ""
    if classes == 2 and graph.nodes[graph.outputs[0]].shape[-1] == 1:
        return losses.BinaryCrossentropy(from_logits=function != "sigmoid")
    return losses.SparseCategoricalCrossentropy(from_logits=function not in ("softmax", "sigmoid"))
