"""Comparisons of Keras models, one by one."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import gainstage as gs
from gainstage import data
from gainstage.errors import InputError
from gainstage.workflows.supplying import dataset_of

CLOUDS = data.gaussian(classes=3, features=4, examples=300)


def net():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(3, "softmax")])


def test_schemes_are_compared_one_by_one_and_seeds_repeat_themselves():
    found = gs.compare(net, CLOUDS, ["keep", "he_normal", "auto"], seeds=2, steps=25, learning_rates=0.02)
    assert found.complete
    assert {t.outcome for t in found.trials} == {"trained"}
    assert {t.together for t in found.trials} == {1}
    assert any("one by one, since Keras models are not stacked" in note for note in found.notes)
    assert len({t.curve.losses for t in found.trials}) == 6
    again = gs.compare(net, CLOUDS, ["keep"], seeds=2, steps=25, learning_rates=0.02)
    twin = {t.key: t for t in found.trials}
    for trial in again.trials:
        np.testing.assert_allclose(trial.curve.losses, twin[trial.key].curve.losses, rtol=1e-3)


@pytest.mark.parametrize("batch", [None, 32])
def test_a_tf_dataset_is_read_batched_or_not(batch):
    tf = pytest.importorskip("tensorflow")
    source = tf.data.Dataset.from_tensor_slices((CLOUDS.x_train, CLOUDS.y_train))
    found = dataset_of(source.batch(batch) if batch else source)
    assert found.classes == 3
    everything = np.concatenate([found.x_train, found.x_validation])
    assert sorted(map(tuple, everything)) == sorted(map(tuple, CLOUDS.x_train))


def test_a_tf_dataset_of_something_else_is_refused(monkeypatch):
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(InputError, match="pairs"):
        dataset_of(tf.data.Dataset.from_tensor_slices(CLOUDS.x_train))
    with pytest.raises(InputError, match="is empty"):
        dataset_of(tf.data.Dataset.from_tensor_slices((CLOUDS.x_train, CLOUDS.y_train)).take(0))
    monkeypatch.setattr("gainstage.backends.keras.models.datasets.MOST", 10)
    with pytest.raises(InputError, match="does not end"):
        dataset_of(tf.data.Dataset.from_tensor_slices((CLOUDS.x_train, CLOUDS.y_train)).repeat())


def test_bad_arguments_are_said():
    with pytest.raises(InputError, match="Labels go from 0 to 2"):
        gs.compare(lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), CLOUDS, seeds=1)
    with pytest.raises(InputError, match="takes a learning rate"):
        gs.compare(net, CLOUDS, seeds=1, optimizer=lambda p, rate: None)
    with pytest.raises(InputError, match="A loss is a name"):
        gs.compare(net, CLOUDS, seeds=1, loss=3)
    model = net()
    with pytest.raises(InputError, match="same model twice"):
        gs.compare(lambda: model, CLOUDS, seeds=1)
