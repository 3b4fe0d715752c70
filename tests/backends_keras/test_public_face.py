"""Public functions take the same things for Keras models, and a named scheme without data leaves nothing silently."""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pytest

import gainstage as gs
from gainstage.errors import InputError, UnknownNameError

ROOT = Path(__file__).parents[2]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 4)).astype("float32"), RNG.integers(0, 3, 12)
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def net():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(3)])


def test_the_block_of_the_page_about_keras_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/keras.md").read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if "import keras" in block]
    exec(compile(block, "docs/keras.md", "exec"), {})
    assert "judged" in capsys.readouterr().out.lower()


def test_a_loss_has_many_forms_and_one_meaning():
    model = net()
    expected = gs.check(model, X, Y, loss=LOGITS).profile
    for loss in ("cross_entropy", lambda y, output: LOGITS(y, output)):
        found = gs.check(model, X, Y, loss=loss).profile
        assert found.task.loss.value == pytest.approx(expected.task.loss.value, rel=1e-5)
    assert gs.check(model, X, Y, loss="cross_entropy").profile.task.loss.kind == expected.task.loss.kind
    with pytest.raises(UnknownNameError, match="Did you mean 'cross_entropy'"):
        gs.check(model, X, Y, loss="cross_entropi")
    with pytest.raises(InputError, match="Pass y"):
        gs.check(model, X, loss="mse")


def test_an_optimizer_has_many_forms_and_one_meaning():
    model = net()
    objects = gs.check(model, X, Y, loss=LOGITS, optimizer=keras.optimizers.Adam(0.01)).profile.step
    for optimizer in ("adam", keras.optimizers.Adam, lambda rate: keras.optimizers.Adam(rate)):
        found = gs.check(model, X, Y, loss=LOGITS, optimizer=optimizer, learning_rate=0.01).profile.step
        assert found == objects
    with pytest.raises(InputError, match="Pass learning_rate"):
        gs.check(model, X, Y, loss=LOGITS, optimizer="adam")
    with pytest.raises(InputError, match="has its own"):
        gs.check(model, X, Y, loss=LOGITS, optimizer=keras.optimizers.Adam(0.01), learning_rate=0.01)
    with pytest.raises(InputError, match="Keras optimizer, received int"):
        gs.check(model, X, Y, loss=LOGITS, optimizer=3, learning_rate=0.01)


def test_a_comparison_takes_them_too():
    quick = {"seeds": 1, "steps": 3}
    found = gs.compare(net, (X, Y), ["keep"], loss=LOGITS, optimizer=keras.optimizers.SGD, **quick)
    named = gs.compare(net, (X, Y), ["keep"], loss="cross_entropy", optimizer="sgd", **quick)
    np.testing.assert_allclose(found.trials[0].curve.losses, named.trials[0].curve.losses, rtol=1e-4)
    assert (found.loss, found.optimizer) == ("sparse_categorical_crossentropy", "SGD")
    with pytest.raises(InputError, match="makes an optimizer for every training"):
        gs.compare(net, (X, Y), ["keep"], optimizer=keras.optimizers.SGD(0.1), **quick)


def test_a_plan_of_a_keras_model_is_not_written_as_pytorch():
    with pytest.raises(InputError, match="of a Keras model"):
        gs.plan(net(), "he_normal").to_code()


class Mixing(keras.layers.Layer):
    """A layer of nobody's library, with a weight of no common name."""

    def build(self, shape):
        self.mixture = self.add_weight(shape=(shape[-1], 7), name="mixture", initializer="ones")

    def call(self, x):
        return keras.ops.matmul(x, self.mixture)


class Own(keras.Model):
    """A subclassed model, which keeps no symbols."""

    def __init__(self):
        super().__init__()
        self.first, self.mixing = keras.layers.Dense(8, "relu"), Mixing()

    def call(self, x):
        return self.mixing(self.first(x))


def test_a_model_that_was_called_knows_the_shape_of_its_input():
    model = Own()
    model(X)
    plan = gs.initialize(model, "he_normal")
    assert [a.scheme for a in plan if a.kernel is not None] == ["he_normal", "he_normal"]
    assert any("shape (2, 4)" in note for note in plan.notes)
    assert not (np.asarray(model.mixing.mixture) == 1).any()


def test_a_functional_model_with_such_a_layer_needs_no_input_either():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), Mixing()])
    assert all(a.scheme == "he_normal" for a in gs.plan(model, "he_normal") if len(a.shape) > 1)


def test_a_weight_that_nothing_explains_is_listed():
    class Silent(Own):
        def get_build_config(self):
            return None

    model = Silent()
    model(X)
    with pytest.raises(gs.GainstageError, match=r"mixture' \(8, 7\), so 'he_normal' would leave.*Pass x="):
        gs.initialize(model, "he_normal")
    assert (np.asarray(model.mixing.mixture) == 1).all()
    gs.plan(model, "he_normal", x=X)
    gs.plan(model, "he_normal", overrides={"mixing.*": "keep"})


def test_layers_of_keras_are_known_without_an_input():
    class Bent(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.bend = keras.layers.Dense(8), keras.layers.PReLU()

        def call(self, x):
            return self.bend(self.first(x))

        def get_build_config(self):
            return None

    model = Bent()
    model(X)
    assert [a.scheme for a in gs.plan(model, "he_normal")] == ["he_normal", "zero", "keep"]
