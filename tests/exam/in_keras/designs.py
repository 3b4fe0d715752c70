"""Networks of Keras that train well as they are."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from exam.case import Case, healthy
from exam.in_keras.faults import pictures
from exam.problems import features, markov, prices, recall, series

healthy_in_keras = functools.partial(healthy, framework="keras")


@healthy_in_keras("perceptron", "https://arxiv.org/abs/1502.01852")
def keras_rectifiers_by_he(seed: int) -> Case:
    from keras import Input, Sequential, layers

    hidden = [layers.Dense(64, "relu", kernel_initializer="he_normal") for _ in range(4)]
    model = Sequential([Input((8, 8, 1)), layers.Flatten(), *hidden, layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = pictures(seed)
    return Case(model, x, y, steps=40)


@healthy_in_keras("bytes behind a rescaling layer", "https://www.tensorflow.org/tutorials/images/classification")
def keras_rescaled_bytes(seed: int) -> Case:
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(12, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(10),
        ]
    )
    model.compile(keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = pictures(seed)
    return Case(model, (x * 255).astype("uint8"), y, steps=50)


@healthy_in_keras("residual network", "https://arxiv.org/abs/1512.03385")
def keras_residual_blocks(seed: int) -> Case:
    import keras
    from keras import layers

    inputs = keras.Input((8, 8, 1))
    h = layers.Conv2D(12, 3, padding="same", use_bias=False)(inputs)
    for _ in range(3):
        b = layers.Activation("relu")(layers.BatchNormalization(momentum=0.8)(h))
        b = layers.Conv2D(12, 3, padding="same", use_bias=False)(b)
        b = layers.Activation("relu")(layers.BatchNormalization(momentum=0.8)(b))
        h = layers.Add()([h, layers.Conv2D(12, 3, padding="same", use_bias=False)(b)])
    h = layers.GlobalAveragePooling2D()(layers.Activation("relu")(layers.BatchNormalization(momentum=0.8)(h)))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(h))
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "categorical_crossentropy")
    x, y = pictures(seed, 96)
    return Case(model, x, np.eye(10, dtype="float32")[y], steps=40)


@healthy_in_keras("separable convolutions", "https://arxiv.org/abs/1610.02357")
def keras_separable_convolutions(seed: int) -> Case:
    import keras
    from keras import layers

    inputs = keras.Input((8, 8, 1))
    h = layers.Conv2D(16, 3, padding="same")(inputs)
    h = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(h))
    h = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(layers.SeparableConv2D(24, 3, padding="same")(h)))
    h = layers.MaxPooling2D(2)(h)
    h = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(layers.SeparableConv2D(32, 3, padding="same")(h)))
    model = keras.Model(inputs, layers.Dense(10, "softmax")(layers.GlobalAveragePooling2D()(h)))
    model.compile(keras.optimizers.Adam(5e-3), keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    x, y = pictures(seed, 96)
    return Case(model, x, np.eye(10, dtype="float32")[y], steps=50)


@healthy_in_keras("adapted normalisation", "https://www.tensorflow.org/tutorials/keras/regression")
def keras_regression_behind_adapted_normalization(seed: int) -> Case:
    import keras
    from keras import layers

    x, y = prices(seed)
    raw = (x * np.array([1, 20, 0.1, 500, 3, 7, 1, 60]) + 5).numpy().astype("float32")
    norm = layers.Normalization()
    norm.adapt(raw)
    model = keras.Sequential(
        [keras.Input((8,)), norm, layers.Dense(64, "relu"), layers.Dense(64, "relu"), layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(3e-3), "mean_absolute_error")
    return Case(model, raw, y.numpy(), steps=60)


@healthy_in_keras("text classifier", "https://keras.io/examples/nlp/bidirectional_lstm_imdb/")
def keras_bidirectional_reader(seed: int) -> Case:
    import keras
    from keras import layers

    inputs = keras.Input((12,), dtype="int32")
    h = layers.Embedding(20, 16)(inputs)
    h = layers.Bidirectional(layers.LSTM(12, return_sequences=True))(h)
    h = layers.Bidirectional(layers.LSTM(12))(h)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(h))
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")
    x, _ = markov(seed)
    return Case(model, x.numpy(), (x.float().mean(1, keepdim=True) > 9.5).float().numpy(), steps=40)


@healthy_in_keras("transformer block", "https://keras.io/examples/nlp/text_classification_with_transformer/")
def keras_transformer_block(seed: int) -> Case:
    import keras
    from keras import layers, ops

    class TokenAndPosition(layers.Layer):
        def __init__(self, length: int, vocabulary: int, d: int) -> None:
            super().__init__()
            self.tokens, self.places = layers.Embedding(vocabulary, d), layers.Embedding(length, d)
            self.length = length

        def call(self, ids: Any) -> Any:
            return self.tokens(ids) + self.places(ops.arange(self.length))

    inputs = keras.Input((12,), dtype="int32")
    h = TokenAndPosition(12, 20, 16)(inputs)
    h = layers.LayerNormalization()(h + layers.Dropout(0.1)(layers.MultiHeadAttention(2, 16)(h, h)))
    h = layers.LayerNormalization()(h + layers.Dense(16)(layers.Dense(32, "relu")(h)))
    h = layers.Dense(20, "relu")(layers.GlobalAveragePooling1D()(h))
    model = keras.Model(inputs, layers.Dense(2, "softmax")(h))
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    x, _ = markov(seed)
    return Case(model, x.numpy(), (x.float().mean(1) > 9.5).long().numpy(), steps=40)


@healthy_in_keras("autoencoder", "https://blog.keras.io/building-autoencoders-in-keras.html")
def keras_autoencoder_of_pixels(seed: int) -> Case:
    import keras
    from keras import layers

    model = keras.Sequential(
        [keras.Input((64,)), layers.Dense(32, "relu"), layers.Dense(8, "relu"), layers.Dense(32, "relu")]
    )
    model.add(layers.Dense(64, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy")
    x, _ = pictures(seed)
    flat = x.reshape(len(x), -1)
    return Case(model, flat, flat, error=lambda p, t: ((p - t) ** 2).mean() / t.var(), steps=80)


@healthy_in_keras("self-normalising", "https://arxiv.org/abs/1706.02515")
def keras_selu_by_lecun(seed: int) -> Case:
    import keras
    from keras import layers

    hidden = [layers.Dense(40, "selu", kernel_initializer="lecun_normal") for _ in range(8)]
    model = keras.Sequential([keras.Input((16,)), *hidden, layers.AlphaDropout(0.05), layers.Dense(4, "softmax")])
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    x, y = features(seed)
    return Case(model, x.numpy(), y.numpy(), steps=40)


@healthy_in_keras("forecast", "https://www.tensorflow.org/tutorials/structured_data/time_series")
def keras_gated_forecast(seed: int) -> Case:
    import keras
    from keras import layers

    model = keras.Sequential(
        [keras.Input((24, 1)), layers.GRU(20, return_sequences=True), layers.GRU(20), layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.Huber())
    x, y = series(seed)
    return Case(model, x.numpy(), y.numpy(), steps=40)


@healthy_in_keras("recurrent tagger", "https://keras.io/api/layers/recurrent_layers/simple_rnn/")
def keras_tags_at_every_step(seed: int) -> Case:
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((12, 3)), layers.Masking(), layers.SimpleRNN(24, return_sequences=True)])
    model.add(layers.TimeDistributed(layers.Dense(2, activation="softmax")))
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    x, _ = recall(seed, length=12)
    x = 2 * x.numpy()
    return Case(model, x, (x.cumsum(1)[..., 0] > 0).astype("int64"), steps=50)


@healthy_in_keras("frozen base and new head", "https://keras.io/guides/transfer_learning/")
def keras_new_head_on_a_frozen_base(seed: int) -> Case:
    import keras
    from keras import layers

    base = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(16, 3, activation="relu"), layers.Flatten()])
    base.trainable = False
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, layers.Dense(10)(base(inputs, training=False)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    x, y = pictures(seed)
    return Case(model, x, y, steps=40)
