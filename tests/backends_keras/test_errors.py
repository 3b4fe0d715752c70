"""Bad input gets an error that says what is wrong and what to do, and changes nothing."""

import sys
import types
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import layers

import gainstage as gs
from gainstage.backends.keras import apply, record, snapshot, structure, trace
from gainstage.backends.keras.models.batch import values_of
from gainstage.errors import InputError, ModelError, UnknownNameError
from gainstage.planning import plan
from gainstage.records import Plan


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((4,)), layers.Dense(5, "relu"), layers.Dense(3)])


@pytest.fixture
def x(white):
    return white(6, 4)


def test_a_model_without_an_input_shape_needs_a_batch():
    unbuilt = keras.Sequential([layers.Dense(3)])
    with pytest.raises(ModelError, match=r"not built.*keras\.Input"):
        gs.plan(unbuilt, "he_normal")


def test_a_batch_builds_what_was_not_built(x):
    unbuilt = keras.Sequential([layers.Dense(3)])
    gs.initialize(unbuilt, "he_normal", x=x)
    assert unbuilt.built


@pytest.mark.parametrize(
    ("loss", "labels", "message"),
    [
        ("sparse_categorical_crossentropy", np.eye(3)[[0, 1, 2, 0, 1, 2]], "categorical_crossentropy"),
        ("sparse_categorical_crossentropy", np.arange(6), "from 0 to 5, and the output has 3 units"),
        ("categorical_crossentropy", np.arange(6) % 3, "sparse_categorical_crossentropy"),
        ("mse", np.zeros((6, 2)), r"\(6, 3\) and \(6, 2\)"),
        ("mse", np.zeros((5, 3)), "one label an example"),
        ("mse", np.full((6, 3), np.nan), "NaN or infinite"),
    ],
)
def test_a_compiled_loss_that_does_not_match_the_labels(model, x, loss, labels, message):
    model.compile(loss=loss)
    with pytest.raises(InputError, match=message):
        record(model, x, labels)


def test_losses_and_labels_come_together(model, x):
    with pytest.raises(InputError, match="without a loss"):
        record(model, x, np.zeros((6, 3)))
    with pytest.raises(InputError, match="without labels"):
        record(model, x, loss="mse")
    with pytest.raises(UnknownNameError, match="mean_squared_error"):
        record(model, x, np.zeros((6, 3)), loss="mean_squard_error")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((0, 4), "float32"), "empty"),
        (None, "no usable array"),
        (np.array(["a", "b"]), "holds text"),
        ([np.zeros((2, 4)), np.zeros((3, 4))], "disagree"),
        (np.full((6, 4), np.inf, "float32"), "NaN or infinite"),
    ],
)
def test_a_batch_that_cannot_be_used(model, inputs, message):
    with pytest.raises(InputError, match=message):
        record(model, inputs)


def test_a_batch_of_the_wrong_shape(model):
    with pytest.raises(ModelError, match=r"inputs of shape \(6, 7\)"):
        trace(model, np.zeros((6, 7), "float32"))


def test_optimizers(model, x):
    labels = np.zeros((6, 3))
    with pytest.raises(InputError, match="Keras optimizer"):
        record(model, x, labels, loss="mse", optimizer=0.1)
    with pytest.raises(InputError, match="no optimizer 'sgdd'"):
        record(model, x, labels, loss="mse", optimizer="sgdd")
    with pytest.raises(InputError, match="lean"):
        record(model, x, detail="full")


def test_a_model_of_keras_2(monkeypatch):
    legacy = types.ModuleType("tf_keras")
    kind = type("Sequential", (), {"__module__": "tf_keras.src.engine.sequential"})
    monkeypatch.setitem(sys.modules, "tf_keras", legacy)
    with pytest.raises(InputError, match=r"Keras 2.*pip install -U keras"):
        gs.trace(kind(), np.zeros((2, 2)))


def test_something_else():
    with pytest.raises(InputError, match="Keras model"):
        gs.trace(object(), np.zeros((2, 2)))
    with pytest.raises(InputError, match="Pass a model object"):
        trace("model", np.zeros((2, 2)))


def refusals(planned):
    first, bias, *rest = planned.assignments
    return {
        "has shape": Plan((replace(first, shape=(4, 4)), bias, *rest)),
        "twice": Plan((first, first, bias, *rest)),
        "not finite": Plan((replace(first, gain=float("nan")), bias, *rest)),
        "Unknown weight": Plan((replace(first, parameter="9.kernel"), bias, *rest)),
        "Unknown scheme": Plan((replace(first, scheme="he_norml"), bias, *rest)),
        "four gates": Plan((first, replace(bias, bias="forget_one"), *rest)),
        "has no kernel": Plan((replace(first, kernel=None), bias, *rest)),
        "needs the path": Plan((first, replace(bias, bias="centre", weight=None), *rest)),
    }


@pytest.mark.parametrize(
    "message",
    ["has shape", "twice", "not finite", "Unknown weight", "Unknown scheme", "four gates", "has no kernel",
     "needs the path"],
)  # fmt: skip
def test_a_plan_that_cannot_be_carried_out_changes_nothing(model, message):
    before = [values_of(v) for v in model.variables]
    with pytest.raises((InputError, UnknownNameError), match=message):
        apply(model, refusals(plan(structure(model), "he_normal"))[message])
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, values_of(variable))


def test_snapshots_put_weights_back(model):
    restore, before = snapshot(model), [values_of(v) for v in model.variables]
    gs.initialize(model, "he_normal", seed=4)
    assert not np.array_equal(values_of(model.variables[0]), before[0])
    restore()
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, values_of(variable))


LOSSES = {
    "logits": (keras.losses.SparseCategoricalCrossentropy(from_logits=True), "cross_entropy"),
    "probabilities": ("sparse_categorical_crossentropy", "probability_nll"),
    "squares": ("mse", "mse"),
    "absolute": (keras.losses.MeanAbsoluteError(), "l1"),
    "a function of squares": (lambda y, p: keras.ops.mean(keras.ops.square(y - p)), "mse"),
    "a function of log-softmax": (
        lambda y, p: -keras.ops.mean(keras.ops.sum(y * keras.ops.log_softmax(p), -1)),
        "cross_entropy",
    ),
    "binary": (keras.losses.BinaryCrossentropy(from_logits=True), "bce_logits"),
}


@pytest.mark.parametrize("name", LOSSES)
def test_kinds_of_losses(name, model, x):
    loss, kind = LOSSES[name]
    labels = np.arange(6) % 3 if name in ("logits", "probabilities") else np.eye(3, dtype="float32")[np.arange(6) % 3]
    if name == "probabilities":
        model = keras.Sequential([model, layers.Softmax()])
    profile = record(model, x, labels, loss=loss)
    assert profile.task.loss.kind == kind
    assert profile.graph.loss is not None
    assert profile.graph.nodes[profile.graph.loss].stage == "loss"


def test_the_textbook_network_is_healthy_and_has_hes_variance(white):
    textbook = keras.Sequential(
        [
            keras.Input((784,)),
            layers.Dense(128, activation="relu", kernel_initializer="he_normal"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    textbook.compile("adam", "sparse_categorical_crossentropy")
    diagnosis = gs.check(textbook, white(64, 784), np.arange(64) % 10)
    assert not [f for f in diagnosis.findings if f.code.startswith("GS5") and f.severity != "note"]
    kernel = values_of(textbook.layers[0].kernel).astype(np.float64)
    assert abs(kernel.var() * 784 / 2 - 1) < 5 * np.sqrt(2 / kernel.size)
