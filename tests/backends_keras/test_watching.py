"""Trainings of ``fit`` under a watch, on the backend of this process."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from gainstage.errors import TrainingError
from gainstage.integrations.keras import WatchCallback

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(96, 8)).astype("float32"), RNG.integers(0, 3, 96)


def network(optimizer="adam", **settings):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8,)), layers.Dense(16), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.2),
            layers.Dense(3),
        ]
    )  # fmt: skip
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), **settings)
    return model


def callback(*data, **choices):
    return WatchCallback(*data, **{"to": None, "on_finding": "collect"} | choices)


def fit(model, callbacks, epochs=1, **settings):
    history = model.fit(X, Y, batch_size=32, epochs=epochs, verbose=0, callbacks=callbacks, **settings)
    return [weight.tobytes() for weight in model.get_weights()], history.history["loss"]


def test_weights_are_the_same_bytes_and_every_loss_is_seen():
    watching = callback(X, Y)
    plain, losses = fit(network(), [])
    weights, same = fit(network(), [watching])
    assert weights == plain
    assert same == losses
    history = watching.watch.history
    assert [step.step for step in history.steps] == [1, 2, 3]
    assert history.start.ok
    assert np.mean([step.loss for step in history.steps]) == pytest.approx(losses[0], rel=1e-5)
    assert [look.step for look in history.looks] == [1, 2]
    assert [layer.path for layer in history.looks[0].layers] == ["0", "2", "4"]
    assert all(layer.gradient > 0 for look in history.looks for layer in look.layers)
    assert [p.path for p in history.parameters] == ["0.kernel", "0.bias", "1.gamma", "1.beta", "4.kernel", "4.bias"]
    looked = [step for step in history.steps if step.gradient is not None]
    assert [step.step for step in looked] == [1, 2]
    assert all(step.rate == pytest.approx(1e-3) and 0 < step.update < 0.1 for step in looked)
    (note,) = history.notes
    assert "layers and gradients are those of a probe batch" in note
    assert "GT101" in {lack.code for lack in history.unjudged}  # the gradient of every step is not seen


def test_the_numbers_of_a_look_are_those_of_the_step():
    model = network(keras.optimizers.SGD(0.1))
    watching = callback()  # without a probe batch, which is not needed for weights
    before = [keras.ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
    model.fit(X[:32], Y[:32], batch_size=32, verbose=0, callbacks=[watching])
    after = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    (step,) = watching.watch.history.steps
    moved = np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(after, before, strict=True)))
    size = np.sqrt(sum(np.sum(b**2) for b in before))
    assert step.weight == pytest.approx(size, rel=1e-5)
    assert step.update == pytest.approx(moved / size, rel=1e-4)


def test_the_first_batch_is_checked_and_the_run_is_refused(capsys):
    model = network()
    model.layers[0].kernel.assign(model.layers[0].kernel * 0)
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 0)
    before = [weight.tobytes() for weight in model.get_weights()]
    with pytest.raises(TrainingError, match="refused before its first step"):
        fit(model, [callback(X, Y, refuse=True, on_finding="warn")])
    assert [weight.tobytes() for weight in model.get_weights()] == before
    assert capsys.readouterr().err.count("before the first step") == 1
