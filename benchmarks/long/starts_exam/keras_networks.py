"""Networks in Keras 3, as its users write them; the data come as NumPy arrays."""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import layers

from starts_exam.case import Case, Data, Metric
from starts_exam.sources import digit_images, digit_rows, markov_text, mnist_images

__all__ = ["KERAS"]


def arrays(data: Data, *, image: bool = False) -> Data:
    """The same examples as NumPy arrays, images with their channel last."""

    def array(value):
        value = value.numpy()
        return np.moveaxis(value, 1, -1) if image and value.ndim == 4 else value

    return Data(*(array(part) for part in (data.x, data.y, data.x_held, data.y_held)))


def predicted(model, data: Data) -> np.ndarray:
    return keras.ops.convert_to_numpy(model(data.x_held, training=False))


def accuracy(classes: int) -> Metric:
    def measure(model, data):
        return float((predicted(model, data).argmax(-1) == data.y_held).mean())

    return Metric("accuracy", "share", 1 / classes, measure)


def squares(chance: float) -> Metric:
    def measure(model, data):
        return float(((predicted(model, data) - data.y_held) ** 2).mean())

    return Metric("mean squared error", "positive", chance, measure)


def cross_entropy(classes: int) -> Metric:
    def measure(model, data):
        logits = predicted(model, data).astype(np.float64)
        log_p = logits - np.log(np.exp(logits - logits.max(-1, keepdims=True)).sum(-1, keepdims=True))
        log_p -= logits.max(-1, keepdims=True)
        return float(-np.take_along_axis(log_p, data.y_held[..., None], -1).mean())

    return Metric("cross-entropy", "positive", math.log(classes), measure)


def small_images(seed: int) -> Data:
    return arrays(mnist_images(seed, size=14), image=True)


def images(seed: int) -> Data:
    return arrays(digit_images(seed), image=True)


def rows(seed: int) -> Data:
    return arrays(digit_rows(seed))


def text(seed: int) -> Data:
    return arrays(markov_text(seed))


def norm():
    return layers.BatchNormalization(momentum=0.9)


def perceptron():
    return keras.Sequential([
        keras.Input((64,)), layers.Dense(64, activation="relu"), layers.Dropout(0.2),
        layers.Dense(64, activation="relu"), layers.Dense(10),
    ])  # fmt: skip


def convnet():
    return keras.Sequential([
        keras.Input((14, 14, 1)), layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(16, 3, activation="relu"), layers.Flatten(), layers.Dropout(0.3),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip


def residual():
    """Batch norm, skips, and He's rule for every convolution."""
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(12, 3, padding="same", kernel_initializer="he_normal")(inputs)
    for _ in range(2):
        y = layers.Activation("relu")(norm()(x))
        y = layers.Conv2D(12, 3, padding="same", kernel_initializer="he_normal", use_bias=False)(y)
        y = layers.Activation("relu")(norm()(y))
        x = layers.add([x, layers.Conv2D(12, 3, padding="same", kernel_initializer="he_normal")(y)])
    x = layers.GlobalAveragePooling2D()(layers.Activation("relu")(norm()(x)))
    return keras.Model(inputs, layers.Dense(10)(x))


def separable():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(12, 3, strides=1, padding="same")(inputs)
    x = layers.Activation("relu")(norm()(x))
    for _ in range(2):
        y = layers.SeparableConv2D(24, 3, padding="same", use_bias=False)(x)
        y = layers.Activation("relu")(norm()(y))
        y = layers.SeparableConv2D(24, 3, padding="same", use_bias=False)(y)
        x = layers.add([layers.Conv2D(24, 1)(x), norm()(y)])
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


@keras.saving.register_keras_serializable("starts_exam")
class TokenAndPosition(layers.Layer):
    def __init__(self, symbols: int, length: int, d: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.tokens, self.positions = layers.Embedding(symbols, d), layers.Embedding(length, d)
        self.length = length

    def call(self, x):
        return self.tokens(x) + self.positions(keras.ops.arange(self.length))


def miniature_gpt():
    """Two tables by Keras's default, attention with a causal mask, post-norm blocks."""
    inputs = keras.Input((16,), dtype="int32")
    x = TokenAndPosition(48, 16, 32)(inputs)
    for _ in range(2):
        y = layers.MultiHeadAttention(4, 8)(x, x, use_causal_mask=True)
        x = layers.LayerNormalization(epsilon=1e-6)(x + y)
        y = layers.Dense(32)(layers.Dense(64, activation="relu")(x))
        x = layers.LayerNormalization(epsilon=1e-6)(x + y)
    return keras.Model(inputs, layers.Dense(48)(x))


def lstm_text():
    return keras.Sequential([
        keras.Input((16,), dtype="int32"), layers.Embedding(48, 32), layers.LSTM(48, return_sequences=True),
        layers.Dense(48),
    ])  # fmt: skip


def autoencoder():
    return keras.Sequential([
        keras.Input((64,)), layers.Dense(48, activation="relu"), layers.Dense(12, activation="relu"),
        layers.Dense(48, activation="relu"), layers.Dense(64, activation="sigmoid"),
    ])  # fmt: skip


def shades(seed: int) -> Data:
    data = arrays(digit_rows(seed, standardise=False))
    return Data(data.x, data.x, data.x_held, data.x_held)


def wide_and_deep():
    """A linear path beside a deep one with selu and LeCun's rule."""
    inputs = keras.Input((8,))
    deep = inputs
    for _ in range(3):
        deep = layers.Dense(32, activation="selu", kernel_initializer="lecun_normal")(deep)
    return keras.Model(inputs, layers.Dense(1)(layers.concatenate([inputs, deep])))


def friedman(seed: int) -> Data:
    """Eight numbers, five of them in Friedman's function, standardised."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(1600, 8))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    y = (y + rng.normal(size=1600) * 0.5 - 14.4) / 4.9
    x, y = ((x - 0.5) * 12**0.5).astype(np.float32), y[:, None].astype(np.float32)
    return Data(x[:1300], y[:1300], x[1300:], y[1300:])


def upsampler():
    """An encoder and a decoder with transposed convolutions and tanh."""
    return keras.Sequential([
        keras.Input((8, 8, 1)), layers.Conv2D(12, 3, strides=2, padding="same", activation="tanh"),
        layers.Conv2D(16, 3, strides=2, padding="same", activation="tanh"),
        layers.Conv2DTranspose(12, 4, strides=2, padding="same", activation="tanh"),
        layers.Conv2DTranspose(1, 4, strides=2, padding="same"),
    ])  # fmt: skip


def denoised(seed: int) -> Data:
    data, rng = images(seed), np.random.default_rng(seed)

    def noisy(x):
        return (x + 0.5 * rng.normal(size=x.shape)).astype(np.float32)

    return Data(noisy(data.x), data.x, noisy(data.x_held), data.x_held)


def recurrent_rows():
    return keras.Sequential([
        keras.Input((8, 8)), layers.Bidirectional(layers.GRU(24, return_sequences=True)), layers.GRU(24),
        layers.Dense(10),
    ])  # fmt: skip


def sequences(seed: int) -> Data:
    data = images(seed)
    return Data(data.x[..., 0], data.y, data.x_held[..., 0], data.y_held)


def adam(_, rate: float):
    return keras.optimizers.Adam(rate)


def momentum(_, rate: float):
    return keras.optimizers.SGD(rate, momentum=0.9)


def logits(y, p):
    return keras.losses.sparse_categorical_crossentropy(y, p, from_logits=True)


def network(name: str, build, data, rate: float, steps: int, metric: Metric, loss=logits, optimizer=adam) -> Case:
    return Case(
        name=f"keras-{name}", field="keras", build=build, data=data, loss=loss, optimizer=optimizer, rate=rate,
        steps=steps, metric=metric, framework="keras",
    )  # fmt: skip


KERAS = (
    network("perceptron", perceptron, rows, 0.05, 250, accuracy(10), optimizer=momentum),
    network("convnet", convnet, small_images, 1e-3, 200, accuracy(10), "sparse_categorical_crossentropy"),
    network("residual", residual, images, 5e-3, 120, accuracy(10)),
    network("separable", separable, images, 3e-3, 120, accuracy(10)),
    network("miniature-gpt", miniature_gpt, text, 3e-3, 120, cross_entropy(48)),
    network("lstm-text", lstm_text, text, 5e-3, 120, cross_entropy(48)),
    network("autoencoder", autoencoder, shades, 2e-3, 250, squares(0.08), "mse"),
    network("wide-and-deep", wide_and_deep, friedman, 3e-3, 250, squares(1.0), "mse"),
    network("denoiser", upsampler, denoised, 3e-3, 200, squares(1.0), "mse"),
    network("recurrent-rows", recurrent_rows, sequences, 3e-3, 120, accuracy(10)),
)
