"""Keras's own activation functions and layers in theory's table, on whichever backend Keras runs."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from gainstage.errors import InputError
from gainstage.theory import activation, activations, level_gain

X = np.linspace(-8.0, 8.0, 801) + 0.0037
MIXING = {"softmax", "log_softmax", "sparsemax", "glu"}
OTHER = {"get", "serialize", "deserialize"}
SETTINGS = {"leaky_relu": {"negative_slope": 0.2}, "threshold": {"threshold": 1.0, "value": 0.0}}
NAMES = sorted(name for name in dir(keras.activations) if not name.startswith("_"))


@pytest.mark.parametrize("name", sorted(set(NAMES) - MIXING - OTHER))
def test_every_activation_of_keras_is_in_the_table(name) -> None:
    theirs = getattr(keras.activations, name)
    if name == "threshold":  # has no defaults
        theirs = lambda x: keras.activations.threshold(x, 1.0, 0.0)  # noqa: E731
    mine = activation(name, SETTINGS.get(name))
    values = keras.ops.convert_to_numpy(theirs(keras.ops.convert_to_tensor(X.astype(np.float32))))
    np.testing.assert_allclose(mine(X), values, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", sorted(set(NAMES) - MIXING - OTHER - {"threshold"}))
def test_gains_of_functions_are_those_of_their_names(name) -> None:
    found = level_gain(getattr(keras.activations, name))
    # leaky_relu is not found by name: its slope differs; Keras rounds it to single precision on TensorFlow.
    assert found == pytest.approx(level_gain(activation(name, SETTINGS.get(name))), rel=1e-8)
    assert activation(name).name in activations()


@pytest.mark.parametrize("name", sorted(MIXING - {"glu"}))
def test_what_mixes_units_is_refused(name) -> None:
    with pytest.raises(InputError, match="not elementwise"):
        activation(getattr(keras.activations, name))


def test_gates() -> None:
    assert level_gain(keras.activations.glu) == level_gain("glu")


@pytest.mark.parametrize(
    ("layer", "name", "settings"),
    [
        (keras.layers.ReLU, "relu", {}),
        (keras.layers.ELU(alpha=0.5), "elu", {"alpha": 0.5}),
        (keras.layers.LeakyReLU(negative_slope=0.1), "leaky_relu", {"negative_slope": 0.1}),
        (keras.layers.PReLU(alpha_initializer="ones"), "linear", {}),
        (keras.layers.Activation("gelu"), "gelu", {}),
    ],
)
def test_layers(layer, name, settings) -> None:
    assert level_gain(layer) == pytest.approx(level_gain(activation(name, settings)), rel=1e-7)


def test_a_function_of_ones_own() -> None:
    assert level_gain(lambda x: keras.ops.relu(x) ** 2) == pytest.approx(level_gain("relu_squared"), rel=1e-10)
