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
    model = keras.Sequential([keras.Input((12,)), layers.Dense(32, "relu"), layers.Dense(4)])
    found = gs.check(model, np.ones_like(X), Y, loss=LOSS, overfit=True)
    assert found.profile.overfit.outcome == "stuck"


def codes(findings):
    return {code for f in findings for code in (f.code, *codes(f.consequences))}


def test_gradients_are_compared_with_finite_differences():
    found = gs.check(network(), X, Y, loss=LOSS, check_gradients=True)
    assert found.profile.gradient_checks
    assert "GS206" not in codes(found.findings)


class Noisy(keras.layers.Layer):
    """Drops elements in every mode."""

    def __init__(self, always):
        super().__init__()
        self.always, self.seeds = always, keras.random.SeedGenerator(0)

    def call(self, x, training=False):
        return keras.random.dropout(x, 0.3, seed=self.seeds) if self.always or training else x


def test_randomness_in_evaluation_mode():
    def noisy(always):
        return keras.Sequential([keras.Input((12,)), layers.Dense(32, "relu"), Noisy(always), layers.Dense(4)])

    assert "GS118" in codes(gs.check(noisy(True), X, Y, loss=LOSS).findings)
    assert "GS118" not in codes(gs.check(noisy(False), X, Y, loss=LOSS).findings)


def test_decay_on_norms_and_biases_is_a_note():
    model = network()
    everywhere = keras.optimizers.AdamW(1e-3, weight_decay=0.1)
    assert "GS714" in codes(gs.check(model, X, Y, loss=LOSS, optimizer=everywhere).findings)
    matrices = keras.optimizers.AdamW(1e-3, weight_decay=0.1)
    matrices.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    assert "GS714" not in codes(gs.check(model, X, Y, loss=LOSS, optimizer=matrices).findings)


def test_a_trained_network_is_recognised():
    model = network()
    model.compile(keras.optimizers.Adam(1e-2), LOSS)
    assert gs.check(model, X, Y, loss=LOSS).trained == ""
    model.fit(X, Y, epochs=60, verbose=0)
    assert gs.check(model, X, Y, loss=LOSS).trained
