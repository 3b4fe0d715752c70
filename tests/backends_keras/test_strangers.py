"""Models as people write them: measured is what Keras's own training step computes, and nothing healthy is flagged."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import gainstage as gs
from gainstage.backends.keras import record, trace
from gainstage.backends.keras.models.batch import as_array, values_of
from gainstage.backends.keras.models.names import named_parameters

LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def white(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def classes(count=64):
    return np.arange(count) % 5


class Cell(layers.Layer):
    """A recurrent cell of the user's own."""

    def __init__(self, units):
        super().__init__()
        self.units = self.state_size = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, self.units), name="recurrent_kernel")

    def call(self, inputs, states):
        hidden = ops.tanh(ops.matmul(inputs, self.kernel) + ops.matmul(states[0], self.recurrent_kernel))
        return hidden, [hidden]


class Penalised(layers.Layer):
    """Adds to the loss, from its output and from its weight."""

    def __init__(self, stubborn=False):
        super().__init__()
        self.stubborn = stubborn

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 8), name="kernel")

    def call(self, inputs):
        if self.stubborn and isinstance(inputs, keras.KerasTensor):
            raise TypeError("needs numbers")
        outputs = ops.matmul(inputs, self.kernel)
        self.add_loss(0.3 * ops.mean(ops.square(outputs)))
        self.add_loss(0.001 * ops.sum(ops.abs(self.kernel)))
        return outputs

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((*inputs.shape[:-1], 8), inputs.dtype)


def several_outputs():
    inputs = keras.Input((10,))
    hidden = layers.Dense(32, "relu")(inputs)
    outputs = {"kind": layers.Dense(5, "softmax", name="kind")(hidden), "size": layers.Dense(1, name="size")(hidden)}
    model = keras.Model(inputs, outputs)
    losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
    return model, white(64, 10), {"kind": classes(), "size": white(64, 1)}, losses, {"kind": 1.0, "size": 0.3}


def sequence(*inner, shape=(6, 8)):
    return keras.Sequential([keras.Input(shape), *inner, layers.Dense(5)]), white(64, *shape), classes(), LOGITS


def flat(*inner, shape=(16,)):
    return sequence(*inner, shape=shape)


def normalised_inputs():
    x = 5 + white(64, 10) * np.logspace(-1, 2, 10, dtype=np.float32)
    normalization = layers.Normalization()
    normalization.adapt(x)
    model, _, y, loss = flat(normalization, layers.Dense(32, "relu"), shape=(10,))
    return model, x, y, loss


def rescaled(*arguments):
    model, _, y, loss = flat(layers.Rescaling(*arguments), layers.Conv2D(8, 3, activation="relu"),
                             layers.GlobalAveragePooling2D(), shape=(8, 8, 3))  # fmt: skip
    return model, np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype("float32"), y, loss


def encoded():
    inputs = keras.Input((1,), dtype="int32")
    coded = layers.CategoryEncoding(20, output_mode="one_hot")(inputs)
    model = keras.Model(inputs, layers.Dense(5)(layers.Dense(16, "relu")(coded)))
    return model, np.random.default_rng(0).integers(0, 20, (64, 1)), classes(), LOGITS


def looked_up():
    inputs = keras.Input((6,), dtype="int64")
    words = layers.Embedding(5, 8)(layers.IntegerLookup(vocabulary=[3, 5, 7, 9])(inputs))
    model = keras.Model(inputs, layers.Dense(5)(layers.Flatten()(words)))
    return model, np.random.default_rng(0).integers(3, 10, (64, 6)), classes(), LOGITS


def shared():
    layer = layers.Dense(16, "tanh")
    return flat(*[keras.Sequential([layer]) for _ in range(3)])


def nested():
    def block():
        return keras.Sequential([keras.Input((16,)), layers.Dense(16, "relu"), layers.Dense(16)])

    inputs, outer = keras.Input((16,)), keras.Input((16,))
    middle = keras.Model(inputs, layers.Add()([inputs, block()(inputs)]))
    model = keras.Model(outer, middle(layers.LayerNormalization()(outer)))
    return flat(model, keras.Sequential([model]))


def states():
    inputs = keras.Input((6, 8))
    out, *last = layers.LSTM(16, return_sequences=True, return_state=True)(inputs)
    model = keras.Model(inputs, layers.Dense(5)(layers.LSTM(16)(out, initial_state=last)))
    return model, white(64, 6, 8), classes(), LOGITS


def masked():
    inputs = keras.Input((10,), dtype="int32")
    words = layers.Embedding(50, 32, mask_zero=True)(inputs)
    hidden = layers.LayerNormalization()(words + layers.MultiHeadAttention(4, 8)(words, words))
    model = keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling1D()(hidden)))
    tokens = np.random.default_rng(0).integers(1, 50, (64, 10))
    tokens[:, 7:] = 0
    return model, tokens, classes(), LOGITS


def masked_scores():
    inputs = keras.Input((6, 16))
    attention = layers.MultiHeadAttention(2, 8)
    mixed, _ = attention(inputs, inputs, use_causal_mask=True, return_attention_scores=True)
    model = keras.Model(inputs, layers.Dense(5)(ops.mean(inputs + mixed, axis=1)))
    return model, white(64, 6, 16), classes(), LOGITS


def adapted():
    model, *rest = flat(layers.Dense(32, "relu"), layers.Dense(32, "relu"))
    for layer in model.layers[:2]:
        layer.enable_lora(4)
    return model, *rest


def frozen():
    backbone = keras.Sequential([keras.Input((16,)), layers.Dense(32, "relu"), layers.BatchNormalization()])
    backbone.trainable = False
    return flat(backbone)


def regularised():
    return flat(
        layers.Dense(32, "relu", kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l2"),
        layers.BatchNormalization(gamma_regularizer="l2"),
    )


MODELS = {
    "several outputs": several_outputs,
    "no input": lambda: (keras.Sequential([layers.Dense(32, "relu"), layers.Dense(5)]), *flat(shape=(10,))[1:]),
    "pixels to ±1": lambda: rescaled(1 / 127.5, -1.0),
    "pixels by channel": lambda: rescaled([1 / 255, 1 / 128, 1 / 64], [0.0, -1.0, 0.5]),
    "normalised inputs": normalised_inputs,
    "encoded": encoded,
    "looked up": looked_up,
    "a layer used three times": shared,
    "models in models": nested,
    "states handed on": states,
    "both ways": lambda: sequence(layers.Bidirectional(layers.LSTM(8, return_sequences=True)),
                                  layers.Bidirectional(layers.LSTM(8))),
    "stacked cells": lambda: sequence(layers.RNN([layers.LSTMCell(8), layers.LSTMCell(6)])),
    "cells of two kinds": lambda: sequence(layers.RNN([layers.LSTMCell(8), layers.GRUCell(6)])),
    "a cell of one's own": lambda: sequence(layers.RNN(Cell(16))),
    "masked words": masked,
    "masked scores": masked_scores,
    "adapters": adapted,
    "a frozen part": frozen,
    "regularised": regularised,
    "an activity of a recurrent layer": lambda: sequence(layers.LSTM(8, activity_regularizer="l2")),
    "losses added": lambda: flat(Penalised(), layers.ReLU()),
}  # fmt: skip


if keras.config.backend() == "jax":
    del MODELS["looked up"]  # Keras looks words up in TensorFlow, and cannot train such a model on JAX either


def compiled(name, optimizer="adam"):
    model, x, y, loss, *weights = MODELS[name]()
    model.compile(optimizer, loss, loss_weights=weights[0] if weights else None)
    return model, x, y


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_a_training_step(name):
    """Plain descent at rate one moves every weight by its gradient; penalties included."""
    model, x, y = compiled(name, keras.optimizers.SGD(1.0))
    profile = record(model, x, y)
    variables = named_parameters(model)[0]
    before = {path: values_of(variables[path]).astype(np.float64) for path in variables}
    model.train_on_batch(x, y)
    moved = {p: np.mean(np.square(before[p] - values_of(v).astype(np.float64))) for p, v in variables.items()}
    measured = {p.path: p.gradient.second_moment for p in profile.parameters if p.gradient is not None}
    assert {path for path, move in moved.items() if move > 0} <= set(measured)
    for path, second_moment in measured.items():
        # A difference of two float32 numbers holds their rounding, 6e-8 of the larger one.
        assert second_moment**0.5 == pytest.approx(moved[path] ** 0.5, rel=2e-3, abs=3e-7), path


@pytest.mark.parametrize("name", MODELS)
def test_nothing_healthy_is_flagged_and_everything_is_seen(name):
    model, x, y = compiled(name)
    diagnosis = gs.check(model, x, y)
    assert [(f.code, f.path) for f in diagnosis.findings if f.severity != "note"] == []
    assert "unknown" not in {str(n.operation) for n in diagnosis.profile.graph.nodes}
    gs.initialize(model, "auto", x=x, seed=1)
    after = gs.check(model, x, y)
    assert [(f.code, f.path) for f in after.findings if f.severity != "note"] == []
    assert all(n.forward.second_moment > 0 for n in gs.predict(model, x).nodes)


def test_a_spectral_norm_divides_by_the_largest_singular_value():
    model, x, *_ = flat(layers.SpectralNormalization(layers.Dense(32, use_bias=False), power_iterations=30))
    before = values_of(model.layers[0].kernel) + np.outer(white(16), white(32, seed=1))  # one direction stands out
    model.layers[0].kernel.assign(before)
    profile = record(model, x)
    largest = np.linalg.norm(before.astype(np.float64), 2)
    assert profile.nodes[0].forward.second_moment == pytest.approx(np.mean((x @ before / largest) ** 2), rel=1e-3)
    np.testing.assert_array_equal(values_of(model.layers[0].kernel), before)


def test_adapters_and_what_they_adapt_stay_as_they_are():
    model, x, _ = compiled("adapters")
    before = [
        values_of(v) for layer in model.layers[:2] for v in (layer._kernel, layer.lora_kernel_a, layer.lora_kernel_b)
    ]
    planned = {a.parameter: a for a in gs.initialize(model, "auto", x=x, seed=1)}
    assert "adapter" in planned["0.lora_kernel_b"].reason
    after = [
        values_of(v) for layer in model.layers[:2] for v in (layer._kernel, layer.lora_kernel_a, layer.lora_kernel_b)
    ]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_layer_that_stays_whole_adds_its_losses_too():
    model, x, y, loss = flat(Penalised(stubborn=True), layers.ReLU())
    model.compile(keras.optimizers.SGD(1.0), loss)
    measured = record(model, x, y).by_path["0.kernel"].gradient.second_moment
    before = values_of(model.layers[0].kernel).astype(np.float64)
    model.train_on_batch(x, y)
    moved = np.mean(np.square(before - values_of(model.layers[0].kernel)))
    assert measured == pytest.approx(moved, rel=1e-3)


def test_the_loss_that_is_told_is_without_penalties():
    model, x, y = compiled("regularised")
    profile = record(model, x, y)
    assert profile.task.loss.value == pytest.approx(float(as_array(LOGITS(y, model(x, training=True)))), rel=1e-5)
    small = record(model, x, y, loss=LOGITS, optimizer=keras.optimizers.SGD(1e-3))
    # Along a short step the loss falls by its slope, which the penalties have a part in.
    assert small.step.loss_after - small.task.loss.value == pytest.approx(small.step.slope, rel=0.05)


@pytest.mark.parametrize(("layer", "function"), [
    (layers.RNN(layers.LSTMCell(4)), "lstm"), (layers.RNN(layers.GRUCell(4)), "gru"),
    (layers.RNN([layers.LSTMCell(4), layers.LSTMCell(3)]), "lstm"), (layers.SimpleRNN(4), "rnn"),
    (layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)]), "mixed"),
])  # fmt: skip
def test_recurrent_layers_are_what_their_cells_are(layer, function):
    graph = trace(keras.Sequential([keras.Input((5, 3)), layer]), white(2, 5, 3))
    assert graph.nodes[-1].function == function


@pytest.mark.parametrize("pre", [(1 / 255,), (1 / 127.5, -1.0)])
def test_what_a_model_does_to_pixels_leaves_its_plan_as_it_is(pre):
    """Data come in the units that the preprocessing undoes, so weights are not made larger by 255."""
    model, x, *_ = rescaled(*pre)
    plain = keras.Sequential([keras.Input((8, 8, 3)), *model.layers[1:]])
    spreads = [[a.spread for a in gs.plan(m, "auto", x=x, seed=0) if a.kernel] for m in (model, plain)]
    np.testing.assert_allclose(*spreads, rtol=1e-4)
    levels = [[n.forward.second_moment for n in p.nodes] for p in (gs.predict(model, x), record(model, x))]
    np.testing.assert_allclose(levels[0][0], levels[1][0], rtol=0.05)


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have a `quantize`:UserWarning")
def test_a_quantized_layer_is_measured_as_it_computes():
    model, x, y, loss = flat(layers.Dense(64, "relu"))
    model.quantize("int8")
    profile = record(model, x, y, loss=loss)
    assert profile.task.loss.value == pytest.approx(float(as_array(loss(y, model(x)))), rel=1e-4)
    assert any("quantized (int8)" in note.message for note in profile.notes)


def test_checking_leaves_the_number_of_examples_open():
    model = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(5)])
    gs.check(model, white(64, 10))
    assert model.input_shape == (None, 10)


@pytest.mark.parametrize("ends", [1, ((0, 2), (1, 1)), ((0, 1), (0, 1))], ids=str)
def test_zeros_around_an_image_are_borders(ends):
    """Of what a convolution reads there is nothing beyond them: mean of twenty draws, within 5 %."""
    convolution = {"padding": "same", "activation": "relu"}
    net = [layers.Conv2D(48, 3, **convolution), layers.ZeroPadding2D(ends), layers.Conv2D(48, 3, activation="relu")]
    model = keras.Sequential([layers.Input((3, 3, 12)), *net, layers.Conv2D(48, 3, padding="same")])
    draws = []
    for seed in range(20):
        gs.initialize(model, "he_normal", seed=seed)
        x = np.random.default_rng(seed).standard_normal((16, 3, 3, 12)).astype("float32")
        draws.append({i: n.forward.second_moment for i, n in record(model, x).by_node.items()})
    predicted = gs.predict(model, x, plan="he_normal")
    found = [i for i, n in predicted.by_node.items() if predicted.graph.nodes[i].operation.weighted]
    assert len(found) == 3
    for index in found:
        levels = [draw[index] for draw in draws]
        error = 4 * np.std(levels) / len(levels) ** 0.5
        assert abs(predicted.by_node[index].forward.second_moment - np.mean(levels)) <= 0.05 * np.mean(levels) + error


# -- calibration of weights that are used again, masked or averaged away ----------------------------------------------


class Again(keras.Model):
    """One layer of tanh, used many times."""

    def __init__(self, times=12):
        super().__init__()
        self.layer, self.head, self.times = layers.Dense(20), layers.Dense(5), times

    def call(self, x):
        for _ in range(self.times):
            x = ops.tanh(self.layer(x))
        return self.head(x)


class Masked(layers.Layer):
    """A layer nine tenths of whose weights are pruned."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 64), name="kernel")
        self.mask = (np.random.default_rng(0).random((shape[-1], 64)) < 0.1).astype("float32")

    def call(self, inputs):
        return ops.relu(ops.matmul(inputs, self.kernel * self.mask))


def test_a_weight_that_is_used_again_is_set_by_all_of_its_uses():
    model, x = Again(), white(64, 20)
    model(x)
    plan = {a.parameter: a for a in gs.initialize(model, "auto", x=x)}
    assert "set by all of its 12 uses" in plan["layer.kernel"].reason
    assert float(np.std(as_array(model(x)))) > 0.05  # a level that is lost at every use ends at 1e-3 and less


def test_a_masked_weight_is_measured_as_it_is_used():
    model, x = keras.Sequential([keras.Input((20,)), Masked(), Masked(), Masked(), layers.Dense(5)]), white(64, 20)
    plan = gs.initialize(model, "auto", x=x)
    hidden = x
    for layer in model.layers[:3]:
        hidden = layer(hidden)
        assert np.mean(np.square(as_array(hidden))) == pytest.approx(0.5, rel=0.3)
    assert sum("measured through the changes before its use" in a.reason for a in plan) == 3


def test_a_signal_that_was_averaged_away_is_not_amplified_back():
    inputs = keras.Input((400, 16))
    mean = ops.mean(layers.Dense(16, name="each")(inputs), axis=1)
    model = keras.Model(inputs, layers.Dense(5)(layers.Activation("tanh")(layers.Dense(16, name="all")(mean))))
    plan = {a.parameter: a for a in gs.initialize(model, "auto", x=white(16, 400, 16))}
    assert "is not amplified by more than 4" in plan["all.kernel"].reason


def test_a_healthy_start_stays_in_keras_too():
    model = keras.Sequential([keras.Input((16,)), layers.Dense(32, "relu"), layers.Dense(5)])
    before = [as_array(v).copy() for v in model.weights]
    plan = gs.initialize(model, x=white(64, 16))
    assert {a.scheme for a in plan} == {"keep"}
    assert all(np.array_equal(a, as_array(v)) for a, v in zip(before, model.weights, strict=True))
    deep = keras.Sequential([keras.Input((16,)), *[layers.Dense(16, "sigmoid") for _ in range(20)], layers.Dense(5)])
    plan = gs.initialize(deep, x=white(64, 16))
    assert any(note.startswith("Drawn anew (all)") for note in plan.notes)
