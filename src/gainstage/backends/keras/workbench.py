"""Keras's side of the protocol ``Workbench``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.backends.keras.models.batch import values_of
from gainstage.backends.keras.models.build import mlp, network
from gainstage.backends.keras.models.datasets import arrays_of, first_batch
from gainstage.backends.keras.models.inputs import example_batch, labelled_batch
from gainstage.backends.keras.models.names import named_parameters
from gainstage.backends.keras.training.live import watch_training
from gainstage.backends.keras.training.objectives import default_loss, loss_named, optimizer_named
from gainstage.backends.keras.training.train import train
from gainstage.backends.keras.writing.save import load_weights, save_weights, usable_path
from gainstage.backends.protocol import LayerLevel
from gainstage.errors import InputError

__all__ = [
    "CLASSIFIER_LOSS", "MEMORYLESS", "TEXTBOOK_SCHEME", "TITLE", "arrays_of", "classifier", "example_batch",
    "first_batch", "give_way", "labelled_batch", "layer_levels", "load_weights", "loss", "multiply_weights",
    "network", "on_device", "one_thread", "optimizer", "save_weights", "textbook", "textbook_weights", "train",
    "usable_path", "watch_training", "with_own_labels", "write_values",
]  # fmt: skip

TITLE = "Keras"
MEMORYLESS = False
TEXTBOOK_SCHEME = "keep"
CLASSIFIER_LOSS = "sparse_categorical_crossentropy"
one_thread = nullcontext
give_way = nullcontext  # Keras keeps random states in variables, and no thread waits for another


def on_device(model: Any, device: str) -> Any:
    """The model, which stays where Keras put it.

    Raises:
        InputError: another device than ``cpu`` was asked for.
    """
    if device != "cpu":
        raise InputError(
            f"The device '{device}' does not go with a Keras model: Keras and its backend choose where it runs. Leave "
            "the device out."
        )
    return model


def layer_levels(model: Any, inputs: Any, labels: Any, loss: Any) -> tuple[LayerLevel, ...]:  # noqa: ARG001
    """Nothing: in Keras a record is the only pass that sees inside the layers."""
    return ()


def multiply_weights(model: Any, factors: Mapping[str, float]) -> None:
    """Multiply variables by factors, by path and in place.

    >>> net = mlp((2, 1))
    >>> multiply_weights(net, {"head.kernel": 0.0})
    >>> float(abs(values_of(net.layers[0].kernel)).sum())
    0.0
    """
    for path, variable in named_parameters(model)[0].items():
        if path in factors:
            variable.assign(values_of(variable) * factors[path])


def write_values(model: Any, values: Mapping[str, NDArray[np.float32]]) -> None:
    """Set variables to arrays of their shape, by path and in place."""
    for path, variable in named_parameters(model)[0].items():
        if path in values:
            variable.assign(values[path].reshape(variable.shape))


def with_own_labels(model: Any, batch: Any) -> Any:  # noqa: ARG001
    """The batch itself: Keras models bring their loss by ``compile``, and labels come with the data."""
    return batch


def loss(model: Any, inputs: Any, classes: int, name: str | None = None) -> Any:
    """The loss of that name; else None for a compiled model, which brings its own, or what fits the output.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name is not None:
        return loss_named(name)
    return default_loss(model, inputs, classes) if getattr(model, "loss", None) is None else None


def optimizer(name: str, model: Any, learning_rate: float) -> Any:  # noqa: ARG001
    """An optimizer; Keras's take the weights later.

    Raises:
        UnknownNameError: there is none of that name.
        InputError: the learning rate is not a positive number.
    """
    return optimizer_named(name, learning_rate)


def classifier(sizes: tuple[int, ...], activation: str, seed: int) -> Any:
    """A perceptron that returns probabilities, at Keras's default initialization.

    >>> [layer.name for layer in classifier((64, 32, 10), "tanh", seed=0).layers]
    ['hidden_0', 'head']
    """
    return mlp(sizes, activation=activation, output="softmax", seed=seed)


def textbook(sizes: tuple[int, ...], seed: int | None = None) -> Any:
    """A relu perceptron that returns probabilities, drawn by ``keras.initializers.HeNormal``."""
    return mlp(sizes, output="softmax", rule="he_normal", seed=seed)


def textbook_weights(sizes: tuple[int, ...], *, he: bool, seed: int = 0) -> tuple[NDArray[np.float32], ...]:
    """The kernels of ``Dense`` layers as Keras itself draws them, each of shape ``(in, out)``.

    Args:
        sizes: widths from the input to the output.
        he: ``keras.initializers.HeNormal``, or the layer's own default.
        seed: of Keras's initializers.

    >>> [kernel.shape for kernel in textbook_weights((784, 128, 10), he=True)]
    [(784, 128), (128, 10)]
    """
    model = mlp(sizes, rule="he_normal" if he else "glorot_uniform", seed=seed)
    return tuple(values_of(layer.kernel) for layer in model.layers)
