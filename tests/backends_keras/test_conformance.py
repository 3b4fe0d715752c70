"""Keras keeps the laws of what the backends share."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from conformance.framework import Array, Framework
from conformance.laws import *  # noqa: F403
from gainstage.backends import keras as backend
from gainstage.backends.keras import workbench
from gainstage.backends.keras.models.batch import values_of
from gainstage.backends.keras.models.names import named_parameters
from gainstage.backends.protocol import Workbench
from gainstage.backends.shared.arrays import moments_of


def perceptron(sizes: tuple[int, ...], activation: str) -> keras.Sequential:
    layers = [l for size in sizes[1:] for l in (keras.layers.Dense(size), keras.layers.Activation(activation))]
    return keras.Sequential([keras.Input((sizes[0],)), *layers[:-1]])


def put(model: keras.Model, path: str, values: Array) -> None:
    named_parameters(model)[0][path].assign(values)


def loss(kind: str, labels: Array) -> keras.losses.Loss:
    if kind == "cross_entropy":
        numbers = labels.dtype.kind == "i"
        own = keras.losses.SparseCategoricalCrossentropy if numbers else keras.losses.CategoricalCrossentropy
        return own(from_logits=True)
    if kind == "bce_logits":
        return keras.losses.BinaryCrossentropy(from_logits=True)
    return keras.losses.MeanSquaredError() if kind == "mse" else keras.losses.MeanAbsoluteError()


@pytest.fixture
def framework() -> Framework:
    return Framework(
        backend, workbench, (Workbench,), perceptron, "kernel",
        lambda model: {path: values_of(v).copy() for path, v in named_parameters(model)[0].items()}, put,
        np.transpose, np.transpose, loss, moments_of, np.asarray,
    )  # fmt: skip
