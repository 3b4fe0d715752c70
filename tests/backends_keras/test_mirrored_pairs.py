"""Mirrored pairs in Keras: kernels in its own layouts, flattened images with channels last."""

import keras
import numpy as np
import pytest
from keras import layers

import gainstage as gs
from gainstage.graph import Mirror, Pairing

ROUNDING = 1e-5


def network(*stack: layers.Layer, shape: tuple[int, ...]) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *stack])


CASES = {
    "dense": lambda: network(layers.Dense(16), layers.ReLU(), layers.Dense(7, "gelu"), layers.Dense(3), shape=(8,)),
    "flattened": lambda: network(
        layers.Conv2D(6, 3, padding="same"), layers.ReLU(), layers.AveragePooling2D(2), layers.Flatten(),
        layers.Dense(3), shape=(8, 8, 2)),
    "groups": lambda: network(
        layers.Conv2D(8, 3, strides=2), layers.ReLU(), layers.Conv2D(4, 1, groups=2, activation="silu"),
        layers.GlobalAveragePooling2D(), layers.Dense(3), shape=(8, 8, 2)),
    "an image out of a vector": lambda: network(
        layers.Dense(24), layers.ReLU(), layers.Reshape((2, 2, 6)), layers.Conv2D(4, 1), shape=(8,)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_network_of_mirrored_pairs_starts_as_an_odd_function(name, white):
    model = CASES[name]()
    x = white(32, *model.input_shape[1:])
    plan = gs.initialize(model, "mirrored", x=x)
    assert all(a.mirror is not None for a in plan if a.role.is_kernel)
    out, opposite = (np.asarray(keras.ops.convert_to_numpy(model(v))) for v in (x, -x))
    assert np.abs(out + opposite).max() < ROUNDING * np.abs(out).max()


def test_channels_last_pair_within_every_place(white):
    model = CASES["flattened"]()
    plan = {a.parameter: a for a in gs.plan(model, "mirrored", x=white(8, 8, 8, 2))}
    assert [a.mirror for a in plan.values() if a.role.is_kernel] == [Mirror(Pairing(6)), Mirror(None, Pairing(6))]


def test_a_permutation_before_flattening_is_refused(white):
    model = network(
        layers.Conv2D(6, 3), layers.ReLU(), layers.Permute((3, 1, 2)), layers.Flatten(), layers.Dense(8),
        layers.ReLU(), layers.Dense(3), shape=(8, 8, 2),
    )  # fmt: skip
    plan = [a for a in gs.plan(model, "mirrored", x=white(8, 8, 8, 2)) if a.role.is_kernel]
    assert plan[0].mirror is None
    assert "in another order" in plan[0].reason


def test_auto_starts_a_deep_plain_network_linear(white):
    stack = [layer for _ in range(12) for layer in (layers.Dense(16), layers.ReLU())]
    model = network(*stack, layers.Dense(3), shape=(8,))
    x = white(32, 8)
    gs.initialize(model, "auto", x=x)
    out, opposite = (np.asarray(keras.ops.convert_to_numpy(model(v))) for v in (x, -x))
    assert np.abs(out + opposite).max() < ROUNDING * np.abs(out).max()
