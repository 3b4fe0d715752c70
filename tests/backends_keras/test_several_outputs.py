"""Models with several outputs: every output meets its own labels and loss, as Keras pairs them when it trains."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import gainstage as gs
from gainstage.backends.keras import record, trace
from gainstage.backends.keras.models.batch import values_of
from gainstage.errors import InputError
from gainstage.planning import plan

CLASSES = np.arange(16) % 3


def two(as_dict=False):
    x = keras.Input((8,))
    hidden = layers.Dense(16, "relu")(x)
    value, kind = layers.Dense(1, name="value")(hidden), layers.Dense(3, "softmax", name="kind")(hidden)
    return keras.Model(x, {"kind": kind, "value": value} if as_dict else [value, kind])


def values(white):
    return white(16, 1, seed=3)


PAIRINGS = {
    "lists": (False, ["mse", "sparse_categorical_crossentropy"], [0.5, 2.0], lambda v: [v, CLASSES]),
    "dicts for a list of outputs": (
        False, {"kind": "sparse_categorical_crossentropy", "value": "mse"}, {"kind": 2.0, "value": 0.5},
        lambda v: {"kind": CLASSES, "value": v},
    ),
    "dicts for a dict of outputs": (
        True, {"kind": "sparse_categorical_crossentropy", "value": "mse"}, {"kind": 2.0, "value": 0.5},
        lambda v: {"kind": CLASSES, "value": v},
    ),
    "no weights": (False, ["mse", "sparse_categorical_crossentropy"], None, lambda v: [v, CLASSES]),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRINGS)
def test_the_loss_is_the_one_that_keras_trains_on(name, white):
    as_dict, loss, weights, labels = PAIRINGS[name]
    model, x = two(as_dict), white(16, 8)
    model.compile("adam", loss, loss_weights=weights)
    target = labels(values(white))
    found = model.evaluate(x, target, verbose=0)
    profile = record(model, x, target)
    assert profile.task.loss.value == pytest.approx(found[0] if isinstance(found, list) else found, rel=1e-5)
    assert all(p.gradient is not None for p in profile.parameters)
    assert profile.task.target.kind == ("classes" if as_dict else "values")  # of the output that is looked at


def test_one_loss_counts_for_all_outputs(white):
    x = keras.Input((8,))
    model = keras.Model(x, [layers.Dense(1)(x), layers.Dense(1)(x)])
    model.compile("sgd", "mse")
    batch, target = white(16, 8), [values(white), -values(white)]
    found = model.evaluate(batch, target, verbose=0)
    assert record(model, batch, target).task.loss.value == pytest.approx(
        found[0] if isinstance(found, list) else found, rel=1e-5
    )


def test_an_output_without_a_loss_gets_no_gradient(white):
    model = two()
    model.compile("adam", ["mse", None])
    profile = record(model, white(16, 8), [values(white), CLASSES])
    assert profile.by_path["value.kernel"].gradient is not None
    assert profile.by_path["kind.kernel"].gradient is None


@pytest.mark.parametrize(
    ("loss", "labels", "message"),
    [
        (["mse", "mse"], lambda v: [v], "2 losses for 1 outputs"),
        ({"value": "mse", "sort": "mse"}, lambda v: {"value": v, "kind": CLASSES}, "'sort', and the outputs are value"),
        ({"value": "mse", "kind": "mse"}, lambda v: {"value": v}, "no labels for the output 'kind'"),
        (["mse", "mse"], lambda v: v, "2 losses for 1 array of labels"),
    ],
)
def test_losses_and_labels_that_do_not_pair(loss, labels, message, white):
    model = two()
    with pytest.raises(InputError, match=message):
        record(model, white(16, 8), labels(values(white)), loss=loss)


def test_plain_numbers_are_labels(white):
    model = keras.Sequential([layers.Dense(3, activation="softmax")])
    profile = record(model, white(4, 8), [0, 1, 2, 0], loss="sparse_categorical_crossentropy")
    assert profile.task.target.shape == (4,)


def test_one_hot_labels_of_a_sequence_are_one_label_a_place(white):
    model = keras.Sequential([keras.Input((5, 4)), layers.Dense(3, activation="softmax")])
    labels = np.eye(3, dtype="float32")[np.random.default_rng(0).integers(0, 3, (8, 5))]
    diagnosis = gs.check(model, white(8, 5, 4), labels, loss="categorical_crossentropy")
    assert diagnosis.profile.task.target.kind == "one_hot"
    assert not [f for f in diagnosis.findings if f.severity != "note"]


class Variational(keras.Model):
    """Adds a loss of its own in the middle, and draws noise."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = layers.Dense(8), layers.Dense(6)
        self.noise = keras.random.SeedGenerator(1)

    def call(self, inputs):
        mean, scale = ops.split(self.encoder(inputs), 2, axis=-1)
        self.add_loss(ops.mean(ops.square(mean)))
        return {"penalty": ops.mean(mean), "logits": self.decoder(mean + ops.exp(scale) * self.drawn(mean))}

    def drawn(self, like):
        return keras.random.normal(ops.shape(like), seed=self.noise)


def test_a_model_that_adds_losses_and_noise_is_seen_through(white):
    profile = record(Variational(), white(16, 6), white(16, 6), loss="mse")
    assert "unknown" not in {str(n.operation) for n in profile.graph.nodes}
    assert profile.graph.nodes[profile.graph.outputs[0]].path == "decoder"
    assert all(p.gradient is not None for p in profile.parameters)
    assert vars(layers.Layer)["add_loss"].__module__.startswith("keras")


def test_lsuv_brings_every_layer_to_unit_variance(white):
    model = keras.Sequential(
        [keras.Input((9, 9, 4)), layers.Conv2D(12, 3, activation="relu"), layers.Flatten(), layers.Dense(6)]
    )
    x = white(64, 9, 9, 4) * 7
    planned = gs.initialize(model, "lsuv", x=x, seed=1)
    levels = {n: p.forward.variance for n, p in record(model, x).by_node.items()}
    graph = trace(model, x)
    weighted = [n.index for n in graph.weighted()]
    assert all(abs(levels[i] - 1) < 0.1 for i in weighted)
    before = [values_of(v) for v in model.trainable_variables]
    gs.apply(model, planned)
    # A layer may be divided twice, and the plan holds the product.
    for old, variable in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_allclose(values_of(variable), old, rtol=1e-6)
    from gainstage.backends.keras import lsuv

    with pytest.raises(InputError, match="positive tolerance"):
        lsuv(model, plan(graph, "lsuv"), x, tolerance=0)


def test_keras_has_no_groups_of_learning_rates(white):
    model = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(3)])
    with pytest.raises(InputError, match="one learning rate for all weights"):
        gs.parameter_groups(model, white(4, 8), learning_rate=1e-3, base_width=4)


def test_without_a_loss_every_output_sends_a_gradient_back():
    x = keras.Input((6,))
    shared = keras.layers.Dense(16, "tanh", name="shared")(x)
    actions = keras.layers.Dense(3, name="actions")(shared)
    values = keras.layers.Dense(1, name="values")(keras.layers.Dense(8, "tanh", name="critic")(shared))
    model = keras.Model(x, [actions, values])
    batch = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    profile = record(model, batch)
    assert {profile.graph.nodes[i].path for i in profile.graph.ends} == {"actions", "values"}
    assert all(p.gradient is not None for p in profile.parameters)
    assert {p.path for p in profile.graph.parameters if p.role.value == "head"} == {"actions.kernel", "values.kernel"}
