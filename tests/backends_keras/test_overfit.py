"""A Keras model learns one batch by heart on copies of its weights."""

import keras
import numpy as np
from keras import layers

import gainstage as gs

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(16, 12)).astype("float32"), RNG.integers(0, 4, 16)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network():
    return keras.Sequential([
        keras.Input((12,)), layers.Dense(32, "relu"), layers.BatchNormalization(), layers.Dropout(0.1), layers.Dense(4),
    ])  # fmt: skip


def test_a_healthy_network_learns_a_batch_and_is_left_as_it_was():
    model = network()
    before = [np.array(v) for v in model.variables]
    found = gs.check(model, X, Y, loss=LOSS, overfit=True)
    assert found.profile.overfit.outcome == "learned"
    assert "GS711" in found.passed
    assert all(np.array_equal(np.array(v), old) for v, old in zip(model.variables, before, strict=True))


def test_inputs_that_are_all_alike_are_not_learned():
    found = gs.check(network(), np.ones_like(X), Y, loss=LOSS, overfit=True)
    assert found.profile.overfit.outcome == "stuck"
