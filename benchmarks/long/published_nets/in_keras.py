"""Five networks from Keras's own code examples, with the initializers that Keras chooses."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops
from starts_exam.case import Case, Data, Metric
from starts_exam.sources import mnist_images

from published_nets.tasks import LENGTH, SYMBOLS, text

__all__ = ["CASES"]

CLASSES, STEPS, BATCH, RATE = 10, 80, 32, 1e-3


def arrays(data: Data, *, image: bool) -> Data:
    """The same examples as NumPy arrays, images with their channel last."""
    parts = (part.numpy() for part in (data.x, data.y, data.x_held, data.y_held))
    return Data(*(np.moveaxis(part, 1, -1) if image and part.ndim == 4 else part for part in parts))


def images(seed: int) -> Data:
    return arrays(mnist_images(seed, size=14), image=True)


def symbols(seed: int) -> Data:
    return arrays(text(seed), image=False)


def measured(name: str, scale, chance: float, score) -> Metric:
    def measure(model, data) -> float:
        return float(score(ops.convert_to_numpy(model(data.x_held, training=False)), data.y_held))

    return Metric(name, scale, chance, measure)


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return -np.take_along_axis(log_p, labels[..., None], -1).mean()


SHARE = measured("accuracy", "share", 1 / CLASSES, lambda logits, labels: (logits.argmax(-1) == labels).mean())
NATS = measured("cross-entropy", "positive", float(np.log(SYMBOLS)), log_loss)


def convnet():
    """The convolutional classifier of the first example that most people read."""
    return keras.Sequential([
        keras.Input((14, 14, 1)), layers.Conv2D(16, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"), layers.Flatten(), layers.Dropout(0.3), layers.Dense(CLASSES),
    ])  # fmt: skip


def separable():
    """Entry and middle flow of Xception: separable convolutions, batch norm, projected skips."""
    inputs = keras.Input((14, 14, 1))
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(layers.Conv2D(16, 3, padding="same")(inputs)))
    for width in (24, 32):
        y = layers.Activation("relu")(x)
        y = layers.BatchNormalization(momentum=0.9)(layers.SeparableConv2D(width, 3, padding="same")(y))
        y = layers.MaxPooling2D(3, strides=2, padding="same")(y)
        x = layers.add([y, layers.Conv2D(width, 1, strides=2, padding="same")(x)])
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x)))


def vision_transformer():
    """Patches by a convolution, learned positions, pre-norm blocks."""
    inputs = keras.Input((14, 14, 1))
    x = layers.Reshape((49, 32))(layers.Conv2D(32, 2, strides=2)(inputs))
    x = x + layers.Embedding(49, 32)(ops.arange(49))
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = x + layers.MultiHeadAttention(4, 8)(y, y)
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = x + layers.Dense(32)(layers.Dense(64, activation="gelu")(y))
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(inputs, layers.Dense(CLASSES)(x))


def recurrent_text():
    return keras.Sequential([
        keras.Input((LENGTH,), dtype="int32"), layers.Embedding(SYMBOLS, 32), layers.LSTM(48, return_sequences=True),
        layers.Dense(SYMBOLS),
    ])  # fmt: skip


def transformer_text():
    """Two tables, causal attention, post-norm blocks."""
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(SYMBOLS, 32)(inputs) + layers.Embedding(LENGTH, 32)(ops.arange(LENGTH))
    for _ in range(2):
        y = layers.MultiHeadAttention(4, 8)(x, x, use_causal_mask=True)
        x = layers.LayerNormalization(epsilon=1e-6)(x + y)
        y = layers.Dense(32)(layers.Dense(64, activation="relu")(x))
        x = layers.LayerNormalization(epsilon=1e-6)(x + y)
    return keras.Model(inputs, layers.Dense(SYMBOLS)(x))


def adam(_, rate: float):
    return keras.optimizers.Adam(rate)


def loss(labels, logits):
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def case(name: str, build, data, metric: Metric) -> Case:
    return Case(
        name=f"keras-{name}", field="keras", build=build, data=data, loss=loss, optimizer=adam, rate=RATE, steps=STEPS,
        batch=BATCH, metric=metric, framework="keras",
    )  # fmt: skip


CASES = (
    case("convnet", convnet, images, SHARE),
    case("separable", separable, images, SHARE),
    case("vision-transformer", vision_transformer, images, SHARE),
    case("lstm-text", recurrent_text, symbols, NATS),
    case("transformer-text", transformer_text, symbols, NATS),
)
