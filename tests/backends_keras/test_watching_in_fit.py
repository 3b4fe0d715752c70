"""What callbacks meet in ``fit``: rates, pickles, loaders, several steps in one execution."""

from __future__ import annotations

import pickle
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest

import gainstage as gs
from gainstage.errors import InputError, TrainingError
from gainstage.integrations.keras import WatchCallback

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(320, 8)).astype("float32"), RNG.integers(0, 3, 320)


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


def fit(model, callbacks, epochs=2, **settings):
    history = model.fit(X, Y, batch_size=32, epochs=epochs, verbose=0, callbacks=callbacks, **settings)
    return [weight.tobytes() for weight in model.get_weights()], history.history["loss"]


def test_a_rate_that_is_too_large_is_found_and_a_training_can_be_ended():
    watching = callback()
    fit(network(keras.optimizers.SGD(300.0)), [watching])
    assert {"GT301", "GT103"} <= {alert.finding.code for alert in watching.watch.history.alerts}
    with pytest.raises(TrainingError, match="GT301"):
        fit(network(keras.optimizers.SGD(300.0)), [callback(on_finding="raise")])


def test_without_a_probe_losses_and_updates_are_seen():
    watching = callback()
    fit(network(), [watching], epochs=1)
    history = watching.watch.history
    assert len(history.steps) == 10
    assert history.start is None
    assert not history.looks
    assert history.steps[0].update > 0
    assert any("No probe batch" in note for note in history.notes)


def test_several_steps_in_one_execution_keep_their_number():
    watching = callback()
    fit(network(steps_per_execution=5), [watching])
    assert [step.step for step in watching.watch.history.steps] == [5, 10, 15, 20]


def test_a_watch_goes_on_from_a_pickle():
    first, model = callback(), network()
    fit(model, [first], epochs=1)
    second = callback(resume=pickle.loads(pickle.dumps(first.watch)))
    fit(model, [second], epochs=1)
    history = second.watch.history
    assert [step.step for step in history.steps] == list(range(1, 21))
    assert history.steps[:10] == first.watch.history.steps


def test_data_of_a_generator_of_batches():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(32)
    watching = callback(data)
    network().fit(data, verbose=0, shuffle=False, callbacks=[watching])
    assert watching.watch.history.looks[0].examples == 32


def test_what_cannot_be_watched_is_refused():
    model = network()
    with pytest.raises(InputError, match=r"integrations\.keras\.WatchCallback"):
        gs.watch(model, model.optimizer, to=None)
    with pytest.raises(InputError, match="no argument evry"):
        callback(X, Y, evry=3)


def test_the_example_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    example = Path(__file__).parents[2] / "examples" / "watch_keras.py"
    found = runpy.run_path(str(example), run_name="__main__")["watching"].watch.history
    assert "GT301" in {alert.finding.code for alert in found.alerts}
    assert "GT301 The steps are too large" in capsys.readouterr().out
