"""The second wave in Keras: sick networks first, then healthy ones."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from exam.case import Case, healthy, sick
from exam.problems import digits, features, prices, series, tags

sick_in_keras = functools.partial(sick, framework="keras")
healthy_in_keras = functools.partial(healthy, framework="keras")


@sick_in_keras(
    "affine-network",
    family="missing parts",
    cause="the layers have no activation: four dense layers in a row are one",
    link="https://github.com/Cambridge-ICCS/practical-ml-with-pytorch/issues/43",
)
def keras_dense_layers_without_activation(seed: int, cured: bool) -> Case:
    from keras import Input, Sequential, layers

    act = "relu" if cured else None
    model = Sequential([Input((4,)), *[layers.Dense(32, activation=act) for _ in range(3)], layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(seed).normal(size=(192, 4)).astype("float32")
    y = x[:, :1] * x[:, 1:2]
    return Case(model, x, y, steps=150)


@sick_in_keras(
    "inputs-ignored",
    family="data",
    cause="token numbers were scaled to between 0 and 1, and the embedding cuts them to whole numbers: all are token 0",
    link="https://github.com/titu1994/Keras-IndRNN/issues/7",
)
def keras_scaled_tokens_into_an_embedding(seed: int, cured: bool) -> Case:
    from keras import Input, Sequential, layers

    tail = [layers.GlobalAveragePooling1D(), layers.Dense(1, activation="sigmoid")]
    model = Sequential([Input((10,)), layers.Embedding(50, 16), *tail])
    model.compile("adam", "binary_crossentropy")
    tokens = np.random.default_rng(seed).integers(0, 50, (192, 10))
    y = ((tokens > 24).mean(1) > 0.5).astype("float32")[:, None]
    return Case(model, tokens if cured else tokens / 51.0, y, steps=150)


@sick_in_keras(
    "target-constant",
    family="data",
    cause="the targets were lost on the way: every one is zero",
    link="https://github.com/google/automl/issues/106",
)
def keras_targets_all_zero(seed: int, cured: bool) -> Case:
    from keras import Input, Sequential, layers

    model = Sequential([Input((8,)), layers.Dense(32, activation="relu"), layers.Dense(1)])
    model.compile("adam", "mse")
    x, y = (t.numpy() for t in prices(seed))

    def evaluate(model: Any, _x: Any, _y: Any) -> float:
        return float(((model.predict(x, verbose=0) - y) ** 2).mean())

    return Case(model, x, y if cured else np.zeros_like(y), evaluate=evaluate, steps=150)


@sick_in_keras(
    "rate-too-large",
    family="learning rate",
    cause="the loss is summed over pixels and batch at a rate for means",
    link="https://github.com/umbertogriffo/focal-loss-keras/issues/5",
)
def keras_sum_at_the_rate_of_a_mean(seed: int, cured: bool) -> Case:
    import keras
    from keras import Input, Sequential, layers

    model = Sequential([Input((64,)), layers.Dense(32, activation="relu"), layers.Dense(64)])
    loss = keras.losses.MeanSquaredError() if cured else (lambda t, p: keras.ops.sum(keras.ops.square(t - p)))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    x = digits(seed)[0].flatten(1).numpy()

    def evaluate(model: Any, x: Any, y: Any) -> float:
        return float(((model.predict(x, verbose=0) - y) ** 2).mean())

    return Case(model, x, x, evaluate=evaluate, steps=60)


@sick_in_keras(
    "gradient-cut",
    family="gradient cut",
    cause="scores are cut to zero and one in the middle: nothing in front of the cut has a gradient",
    place=("body",),
    link="https://github.com/jvargasmu/population_estimation/issues/68",
)
def keras_scores_cut_to_zero_and_one(seed: int, cured: bool) -> Case:
    from keras import Input, Model, layers, ops

    inputs = Input((16,))
    h = layers.Dense(24, activation="tanh", name="body")(inputs)
    h = layers.Activation("sigmoid")(h) if cured else ops.cast(h > 0, "float32")
    model = Model(inputs, layers.Dense(4, activation="softmax")(h))
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = (t.numpy() for t in features(seed))
    return Case(model, x, y, steps=250)


@healthy_in_keras("linear autoencoder", "https://doi.org/10.1016/0893-6080(89)90014-2")
def keras_principal_components(seed: int) -> Case:
    import keras
    from keras import Input, Sequential, layers

    x = digits(seed)[0].flatten(1)
    x = (x - x.mean(0)).numpy()
    model = Sequential([Input((64,)), layers.Dense(6), layers.Dense(64)])
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    return Case(model, x, x, steps=100)


@healthy_in_keras("dilated causal convolutions", "https://arxiv.org/abs/1609.03499")
def keras_causal_convolutions(seed: int) -> Case:
    import keras
    from keras import Input, Sequential, layers

    convolutions = [layers.Conv1D(16, 2, padding="causal", dilation_rate=2**i, activation="relu") for i in range(4)]
    model = Sequential([Input((24, 1)), *convolutions, layers.Lambda(lambda h: h[:, -1]), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    x, y = (t.numpy() for t in series(seed))
    return Case(model, x, y, steps=80)


@healthy_in_keras("experts", "https://www.cs.toronto.edu/~hinton/absps/jjnh91.pdf")
def keras_soft_mixture_of_experts(seed: int) -> Case:
    import keras
    from keras import Input, Model, layers, ops

    inputs = Input((16,))
    gate = layers.Dense(4, activation="softmax")(inputs)
    every = ops.stack([layers.Dense(4)(layers.Dense(16, activation="relu")(inputs)) for _ in range(4)], axis=1)
    model = Model(inputs, layers.Softmax()(ops.sum(every * ops.expand_dims(gate, -1), axis=1)))
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    x, y = (t.numpy() for t in features(seed))
    return Case(model, x, y, steps=80)


@healthy_in_keras("noise as a regulariser", "https://doi.org/10.1162/neco.1995.7.1.108")
def keras_noise_at_the_input(seed: int) -> Case:
    import keras
    from keras import Input, Sequential, layers

    hidden = [layers.GaussianNoise(0.3), layers.Dense(48, activation="elu"), layers.Dropout(0.3)]
    model = Sequential([Input((16,)), *hidden, layers.Dense(5, activation="sigmoid")])
    model.compile(keras.optimizers.RMSprop(5e-3), keras.losses.BinaryCrossentropy(label_smoothing=0.1))
    x, y = (t.numpy() for t in tags(seed))
    return Case(model, x, y, steps=100)


@healthy_in_keras("normalised layers", "https://arxiv.org/abs/1607.06450")
def keras_recurrence_with_layer_norm(seed: int) -> Case:
    import keras
    from keras import Input, Sequential, layers

    body = [layers.LSTM(16, return_sequences=True), layers.LayerNormalization(), layers.LSTM(16)]
    model = Sequential([Input((24, 1)), *body, layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.Huber())
    x, y = (t.numpy() for t in series(seed))
    return Case(model, x, y, steps=60)


@healthy_in_keras("sparse and dense columns", "https://arxiv.org/abs/1606.07792")
def keras_wide_and_deep(seed: int) -> Case:
    import keras
    from keras import Input, Model, layers

    numbers, kinds = Input((8,)), Input((3,), dtype="int32")
    wide = layers.Flatten()(layers.Embedding(30, 1, embeddings_initializer="zeros")(kinds))
    deep = layers.Concatenate()([numbers, layers.Flatten()(layers.Embedding(30, 6)(kinds))])
    deep = layers.Dense(24, activation="relu")(deep)
    model = Model([numbers, kinds], layers.Dense(1, activation="sigmoid")(layers.Concatenate()([wide, deep])))
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")
    random = np.random.default_rng(seed)
    x, k = random.normal(size=(192, 8)).astype("float32"), random.integers(0, 30, (192, 3)).astype("int32")
    y = (x[:, 0] + (k[:, 0] % 2) * 2 - 1 > 0).astype("float32")[:, None]
    return Case(model, [x, k], y, steps=80)
