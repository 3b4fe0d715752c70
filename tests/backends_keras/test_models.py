"""Every way to write a Keras model gives the graph that it computes, with paths that do not depend on the session."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from gainstage.backends.keras import record, trace
from gainstage.backends.keras.models.batch import values_of
from gainstage.graph import Operation, residuals


class Block(layers.Layer):
    """A residual branch written out with functions."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.norm = layers.LayerNormalization()
        self.inner = [layers.Dense(2 * units), layers.Dense(units)]

    def build(self, shape: tuple) -> None:
        self.norm.build(shape)
        self.inner[0].build(shape)
        self.inner[1].build((*shape[:-1], 2 * shape[-1]))

    def call(self, inputs):
        return inputs + self.inner[1](ops.gelu(self.inner[0](self.norm(inputs))))


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = [Block(6), Block(6)]
        self.head = layers.Dense(3)

    def call(self, inputs):
        for block in self.blocks:
            inputs = block(inputs)
        return self.head(inputs)


class Tied(keras.Model):
    """An embedding that is the head too, and positions that no input picks."""

    def __init__(self) -> None:
        super().__init__()
        self.words = layers.Embedding(11, 6)
        self.places = layers.Embedding(5, 6)
        self.inner = layers.Dense(6, activation="tanh")

    def call(self, tokens):
        hidden = self.words(tokens) + self.places(ops.arange(5))
        return ops.matmul(self.inner(hidden), ops.transpose(self.words.embeddings))


class Stubborn(layers.Layer):
    """Code that works on arrays only."""

    def build(self, shape: tuple) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 4), name="kernel")

    def call(self, inputs):
        if isinstance(inputs, keras.KerasTensor):
            raise TypeError("needs numbers")
        return ops.matmul(inputs, self.kernel)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((*inputs.shape[:-1], 4), inputs.dtype)


def functional():
    shared = layers.Dense(8, activation="relu", name="shared")
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    joined = layers.Concatenate()([shared(left), shared(right)])
    joined = joined * ops.sigmoid(layers.Dense(16)(joined))
    return keras.Model([left, right], [layers.Dense(2, name="first")(joined), layers.Dense(3, name="second")(joined)])


def nested():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(4)])
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(2)(layers.Add()([x, inner(x)])))


def operations(graph):
    return [str(n.operation) for n in graph.nodes]


def test_sequential(white):
    graph = trace(keras.Sequential([layers.Dense(8, "relu"), layers.Dropout(0.2), layers.Dense(3)]), white(6, 4))
    assert operations(graph) == ["input", "linear", "activation", "dropout", "linear"]
    assert [p.path for p in graph.parameters] == ["0.kernel", "0.bias", "2.kernel", "2.bias"]


def test_functional_with_a_shared_layer_two_inputs_and_two_outputs(white):
    graph = trace(functional(), [white(6, 4), white(6, 4, seed=1)])
    assert operations(graph) == [
        "input", "input", "linear", "activation", "linear", "activation", "concatenation", "linear", "activation",
        "multiply", "linear", "linear",
    ]  # fmt: skip
    assert graph.parameter("shared.kernel").nodes == (2, 4)
    assert not graph.unreached
    assert graph.nodes[graph.outputs[0]].path == "first"


def test_nested_models_show_what_is_inside(white):
    graph = trace(nested(), white(6, 4))
    assert operations(graph) == ["input", "linear", "activation", "linear", "add", "linear"]
    assert [p.path for p in graph.parameters][:2] == ["0.0.kernel", "0.0.bias"]
    assert len(residuals(graph)) == 1


def test_subclassed_models_show_functional_residuals_and_activations(white):
    graph = trace(Subclassed(), white(6, 5, 6))
    assert operations(graph)[:6] == ["input", "normalization", "linear", "activation", "linear", "add"]
    assert [p.path for p in graph.parameters][2] == "blocks.0.inner.0.kernel"
    assert len(residuals(graph)) == 2
    assert {n.path for n in graph.nodes if n.operation is Operation.ADD} == {"blocks.0", "blocks.1"}


def test_a_tied_table_is_one_parameter_with_both_uses():
    tokens = np.random.default_rng(0).integers(0, 11, (4, 5))
    graph = trace(Tied(), tokens)
    assert operations(graph) == ["input", "embedding", "embedding", "offset", "linear", "activation", "linear"]
    words = graph.parameter("words.embeddings")
    assert (words.kernel.out, words.kernel.in_, words.layout) == (11, 6, "out_in")
    assert str(words.role) == "head"
    assert str(graph.parameter("places.embeddings").role) == "other"


def test_a_layer_that_refuses_symbols_is_one_operation_and_is_noted(white):
    model = keras.Sequential([layers.Dense(5), Stubborn(), layers.Dense(2)])
    profile = record(model, white(6, 4))
    assert operations(profile.graph) == ["input", "linear", "unknown", "linear"]
    assert [(note.code, note.path) for note in profile.notes] == [("GS902", "1")]
    assert profile.by_path["1.kernel"].gradient is not None


@pytest.mark.parametrize("repeat", range(2))
def test_paths_are_the_same_in_every_run(repeat, white):
    for _ in range(repeat):
        layers.Dense(2), Subclassed()
    assert [p.path for p in trace(Subclassed(), white(2, 5, 6)).parameters][-1] == "head.bias"
    assert [p.path for p in trace(nested(), white(2, 4)).parameters][-1] == "2.bias"


def test_masks_travel_from_the_embedding_to_the_recurrent_layer():
    tokens = np.array([[3, 1, 0, 0], [2, 2, 5, 0], [4, 0, 0, 0]])
    model = keras.Sequential([layers.Embedding(7, 6, mask_zero=True), layers.LSTM(5), layers.Dense(2)])
    model(tokens)
    profile = record(model, tokens)
    expected = np.mean(np.square(np.asarray(model.predict(tokens, verbose=0), dtype=np.float64)))
    assert profile.nodes[-1].forward.second_moment == pytest.approx(expected, rel=1e-5)
    assert operations(profile.graph) == ["input", "embedding", "recurrent", "linear"]


def test_the_model_is_left_as_it_was_found(white):
    model = functional()
    inputs = model.inputs
    x = keras.Input((4,))
    hidden = layers.Dropout(0.5, seed=1)(layers.BatchNormalization()(layers.Dense(8)(x)))
    model = keras.Model(x, layers.Dense(2)(hidden))
    before = [values_of(v) for v in model.variables]
    identity = [id(v) for v in model.variables]
    attributes = {layer.name: dict(vars(layer)) for layer in model.layers}
    calls = [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model.layers]
    record(model, white(6, 4), white(6, 2), loss="mse", optimizer="adam")
    assert [id(v) for v in model.variables] == identity
    for old, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, values_of(variable))
    for layer in model.layers:
        assert vars(layer).keys() == attributes[layer.name].keys()
        assert all(vars(layer)[k] is v for k, v in attributes[layer.name].items())
    assert [(len(layer._inbound_nodes), len(layer._outbound_nodes)) for layer in model.layers] == calls
    assert model.layers[1].output.shape == (None, 8)
    assert inputs


def test_a_model_whose_code_raises_is_left_as_it_was_found(white):
    class Broken(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(3)

        def call(self, inputs):
            return ops.matmul(self.inner(inputs), self.inner(inputs))

    model = Broken()
    model.inner.build((None, 4))
    kernel = model.inner.kernel
    from gainstage.errors import ModelError

    with pytest.raises(ModelError, match="inputs of shape"):
        trace(model, white(6, 4))
    assert model.inner.kernel is kernel
    assert "symbolic_call" in vars(keras.Operation)
    assert vars(keras.Operation)["symbolic_call"].__module__.startswith("keras")
