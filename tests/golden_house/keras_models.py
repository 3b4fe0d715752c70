"""Models in Keras, each written for one way of putting layers together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from keras import layers, ops

from golden_house.asked import Subject

__all__ = ["subjects"]

EXAMPLES, CLASSES = 64, 5
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def white(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal values of every example."""
    return np.random.default_rng(seed).standard_normal((EXAMPLES, *shape), dtype=np.float32)


def tokens(vocabulary: int, length: int) -> np.ndarray:
    """The last third is padding."""
    drawn = np.random.default_rng(0).integers(1, vocabulary, (EXAMPLES, length))
    drawn[:, 2 * length // 3 :] = 0
    return drawn


def stack(*inner: Any, shape: tuple[int, ...] = (20,)) -> keras.Model:
    """Layers one after another, and a head."""
    return keras.Sequential([keras.Input(shape), *inner, layers.Dense(CLASSES)])


def perceptron(activation: str, depth: int, rule: str = "glorot_uniform") -> keras.Model:
    """Many layers of one width."""
    return stack(*(layers.Dense(48, activation, kernel_initializer=rule) for _ in range(depth)))


def image(*, norm: bool) -> keras.Model:
    """Convolutions of several kinds."""
    kinds = (
        layers.Conv2D(8, 3, padding="same", use_bias=not norm),
        layers.DepthwiseConv2D(3, padding="same", use_bias=not norm),
        layers.SeparableConv2D(16, 3, strides=2, use_bias=not norm),
        layers.Conv2D(16, 3, groups=4, use_bias=not norm),
    )
    rest = (one for kind in kinds for one in (kind, *([layers.BatchNormalization()] if norm else []), layers.ReLU()))
    return stack(*rest, layers.GlobalAveragePooling2D(), shape=(12, 12, 3))


def upwards() -> keras.Model:
    """Down by pooling, up by a transposed convolution, and across."""
    x = keras.Input((8, 8, 3))
    high = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    low = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D(2)(high))
    back = layers.Conv2DTranspose(8, 4, strides=2, padding="same")(low)
    return keras.Model(x, layers.Conv2D(1, 1)(layers.Concatenate()([high, back])))


def residual(*, norm: bool) -> keras.Model:
    """Branches added to a stream."""
    x = keras.Input((20,))
    hidden = layers.Dense(32)(x)
    for _ in range(6):
        branch = layers.LayerNormalization()(hidden) if norm else hidden
        branch = layers.Dense(32)(layers.Dense(64, "gelu")(branch))
        hidden = layers.Add()([hidden, branch])
    return keras.Model(x, layers.Dense(CLASSES)(layers.LayerNormalization()(hidden) if norm else hidden))


def attentive() -> keras.Model:
    """Masked words through attention and a feed-forward part."""
    inputs = keras.Input((9,), dtype="int32")
    hidden = layers.Embedding(50, 32, mask_zero=True)(inputs)
    for _ in range(2):
        normed = layers.LayerNormalization()(hidden)
        hidden = hidden + layers.MultiHeadAttention(4, 8)(normed, normed)
        branch = layers.Dense(64, "gelu")(layers.LayerNormalization()(hidden))
        hidden = hidden + layers.Dropout(0.1)(layers.Dense(32)(branch))
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(hidden)))


def gated() -> keras.Model:
    """Two inputs through one shared layer, and a gate."""
    shared = layers.Dense(16, "relu")
    left, right = keras.Input((20,)), keras.Input((20,))
    joined = layers.Concatenate()([shared(left), shared(right)])
    return keras.Model([left, right], layers.Dense(CLASSES)(joined * layers.Dense(32, "sigmoid")(joined)))


class Block(layers.Layer):
    """A branch written out with functions."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.norm = layers.LayerNormalization()
        self.inner = [layers.Dense(2 * units), layers.Dense(units)]

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.norm.build(shape)
        self.inner[0].build(shape)
        self.inner[1].build((*shape[:-1], 2 * shape[-1]))

    def call(self, inputs: Any) -> Any:
        return inputs + self.inner[1](ops.gelu(self.inner[0](self.norm(inputs))))


class Subclassed(keras.Model):
    """A model as a class."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [Block(20), Block(20)]
        self.head = layers.Dense(CLASSES)

    def call(self, inputs: Any) -> Any:
        for block in self.blocks:
            inputs = block(inputs)
        return self.head(inputs)


class Tied(keras.Model):
    """An embedding that is the head too, and positions that no input picks."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = layers.Embedding(11, 16), layers.Embedding(9, 16)
        self.inner = layers.Dense(16, activation="tanh")

    def call(self, inputs: Any) -> Any:
        hidden = self.words(inputs) + self.places(ops.arange(9))
        return ops.matmul(self.inner(hidden), ops.transpose(self.words.embeddings))


def nested() -> keras.Model:
    """Models within models."""
    inner = keras.Sequential([keras.Input((20,)), layers.Dense(32, "relu"), layers.Dense(20)])
    x = keras.Input((20,))
    return keras.Model(x, layers.Dense(CLASSES)(layers.Add()([x, inner(x)])))


def several() -> keras.Model:
    """Two outputs, each with a loss."""
    x = keras.Input((20,))
    hidden = layers.Dense(32, "relu")(x)
    model = keras.Model(x, {"kind": layers.Dense(5, "softmax", name="kind")(hidden),
                            "size": layers.Dense(1, name="size")(hidden)})  # fmt: skip
    model.compile("adam", {"kind": "sparse_categorical_crossentropy", "size": "mse"})
    return model


def changed(model: keras.Model, layer: int, factor: float) -> keras.Model:
    """One kernel times a factor."""
    kernel = model.layers[layer].kernel
    kernel.assign(factor * ops.convert_to_numpy(kernel))
    return model


def built(model: keras.Model, x: np.ndarray) -> keras.Model:
    """A model that has its weights."""
    model(x)
    return model


def subjects() -> Iterator[Subject]:
    """All of them, one after another."""
    classes = np.arange(EXAMPLES) % CLASSES
    flat, pictures, rows, words = white(20), white(12, 12, 3), white(9, 8), tokens(50, 9)

    def classifier(name: str, build: Callable[[], keras.Model], x: Any = flat, **more: Any) -> Subject:
        return _subject(name, build, x, classes, LOGITS, **more)

    yield classifier("relu, three layers", lambda: perceptron("relu", 3), optimizer=lambda _: keras.optimizers.Adam())
    yield classifier("he relu, twelve layers", lambda: perceptron("relu", 12, "he_normal"))
    yield classifier("sigmoid, twelve layers", lambda: perceptron("sigmoid", 12))
    yield classifier("selu, eight layers", lambda: perceptron("selu", 8, "lecun_normal"))
    yield classifier("dropout", lambda: stack(layers.Dense(64, "relu"), layers.Dropout(0.5)))
    yield classifier("convolutions", lambda: image(norm=False), pictures)
    yield classifier("convolutions with batch norm", lambda: image(norm=True), pictures)
    yield _subject("up and down", upwards, white(8, 8, 3), white(8, 8, 1, seed=1), keras.losses.MeanSquaredError())
    yield classifier("residual, pre-norm", lambda: residual(norm=True))
    yield classifier("residual, no norm", lambda: residual(norm=False))
    yield classifier("attention over masked words", attentive, words)
    yield classifier("lstm", lambda: stack(layers.LSTM(16), shape=(9, 8)), rows)
    yield classifier(
        "gru over gru", lambda: stack(layers.GRU(16, return_sequences=True), layers.GRU(8), shape=(9, 8)), rows
    )
    yield classifier("both ways", lambda: stack(layers.Bidirectional(layers.LSTM(8)), shape=(9, 8)), rows)
    yield classifier("cells", lambda: stack(layers.RNN([layers.LSTMCell(8), layers.GRUCell(6)]), shape=(9, 8)), rows)
    yield classifier("two inputs, shared and gated", gated, [flat, white(20, seed=1)])
    yield classifier("subclassed", lambda: built(Subclassed(), flat))
    yield _subject("tied", lambda: built(Tied(), tokens(11, 9)), tokens(11, 9), None, None)
    yield classifier("nested", nested)
    yield _subject("several outputs", several, flat, {"kind": classes, "size": white(1, seed=1)}, None)
    yield classifier("one layer fifty times too large",
                     lambda: changed(perceptron("relu", 5, "he_normal"), 2, 50.0))  # fmt: skip
    yield classifier("softmax before a loss of logits",
                     lambda: keras.Sequential([perceptron("relu", 2), layers.Softmax()]))  # fmt: skip


def _subject(name: str, build: Callable[[], keras.Model], x: Any, y: Any, loss: Any, **more: Any) -> Subject:
    def fresh() -> keras.Model:
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        return build()

    return Subject(name, fresh, lambda: (x, y), _weights, loss, **more)


def _weights(model: keras.Model) -> dict[str, np.ndarray]:
    return {f"{i} {v.path}": ops.convert_to_numpy(v) for i, v in enumerate(model.trainable_variables)}
