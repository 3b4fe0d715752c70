"""Networks of Keras whose output, loss, targets or optimizer do not fit, and the same networks mended."""

from __future__ import annotations

from typing import Any

import numpy as np

from exam.case import Case
from exam.in_keras.faults import pictures, sick_in_keras
from exam.problems import features, markov, prices, recall, series, tags


@sick_in_keras(
    "softmax-before-logits-loss",
    family="output against loss",
    cause="the last layer applies a softmax and the loss, told that it gets logits, applies another",
    link="https://github.com/mmalekzadeh/dana/issues/1",
)
def keras_softmax_called_logits(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    inputs = keras.Input((20, 3))
    h = layers.Conv1D(12, 5, activation="relu")(inputs)
    h = layers.Flatten()(h)
    model = keras.Model(inputs, layers.Dense(3, activation=None if cured else "softmax")(h))
    model.compile(keras.optimizers.SGD(0.3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = recall(seed)

    def error(out: Any, y: Any) -> Any:
        p = np.exp(out) / np.exp(out).sum(-1, keepdims=True) if cured else out
        return -np.log(p[np.arange(len(y)), y] + 1e-9).mean()

    return Case(model, x.numpy(), y.numpy(), error=error, steps=30)


@sick_in_keras(
    "logits-for-probabilities",
    family="output against loss",
    cause="the last layer is linear and the loss, not told that it gets logits, takes them for probabilities",
    link="https://github.com/keras-team/keras-hub/issues/1008",
)
def keras_logits_called_probabilities(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(12, 3, activation="relu"), layers.Flatten()])
    model.add(layers.Dense(10))
    model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=cured))
    x, y = pictures(seed)
    return Case(model, x, y, error=lambda out, y: (out.argmax(-1) != y).mean(), steps=40)


@sick_in_keras(
    "softmax-single-unit",
    family="output against loss",
    cause="a softmax over a single unit is one for every example",
    place=("3",),
    link="https://github.com/keras-team/keras/issues/10607",
)
def keras_softmax_over_one_unit(seed: int, cured: bool) -> Case:
    from keras import Input, Sequential, layers

    model = Sequential([Input((16,)), layers.Dense(48, activation="relu"), layers.Dense(24, activation="relu")])
    model.add(layers.Dense(1, activation="sigmoid" if cured else "softmax"))
    model.compile("rmsprop", "binary_crossentropy")
    x, y = tags(seed, labels=1)
    return Case(model, x.numpy(), y.numpy(), error=lambda p, y: ((p > 0.5) != (y > 0.5)).mean(), steps=60)


@sick_in_keras(
    "sigmoid-with-class-loss",
    family="output against loss",
    cause="exclusive classes get independent sigmoids before the loss over classes",
    place=("2",),
    link="https://github.com/keras-team/keras/issues/2711",
)
def keras_sigmoids_for_exclusive_classes(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(32, "relu")])
    model.add(layers.Dense(10, "softmax" if cured else "sigmoid"))
    model.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy")
    x, y = pictures(seed)
    error = lambda p, t: -np.log((p / p.sum(-1, keepdims=True))[t > 0] + 1e-9).mean()  # noqa: E731
    return Case(model, x, np.eye(10, dtype="float32")[y], error=error, steps=25)


@sick_in_keras(
    "targets-outside-loss-domain",
    family="the loss itself",
    cause="class numbers up to nine are compared with one sigmoid by binary cross-entropy, which has no lower "
    "bound there",
    link="https://datascience.stackexchange.com/questions/38604",
)
def keras_class_numbers_in_binary_loss(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(8, 3, activation="relu"), layers.Flatten()])
    model.add(layers.Dense(10, "softmax") if cured else layers.Dense(1, "sigmoid"))
    model.compile("adam", "sparse_categorical_crossentropy" if cured else "binary_crossentropy")
    x, y = pictures(seed)
    error = lambda p, y: ((p.argmax(-1) if cured else p[:, 0] > 0.5) != y).mean()  # noqa: E731
    return Case(model, x, y if cured else y.astype("float32"), error=error, steps=80)


@sick_in_keras(
    "target-scale",
    family="input and target",
    cause="prices in hundreds of thousands are the target as they are",
    link="https://github.com/UC-IIC2613/Syllabus/issues/220",
)
def keras_prices_in_full(seed: int, cured: bool) -> Case:
    from keras import Input, Sequential, layers

    model = Sequential(
        [Input((8,)), layers.Dense(64, activation="relu"), layers.Dense(64, activation="relu"), layers.Dense(1)]
    )
    model.compile("adam", "mse")
    x, y = prices(seed)
    y = y.numpy() if cured else 300000 + 90000 * y.numpy()
    return Case(model, x.numpy(), y, error=lambda p, t: ((p - t) ** 2).mean() / t.var(), steps=100)


@sick_in_keras(
    "rate-too-small",
    family="optimisation",
    cause="Adam at a rate of a thousand-millionth",
    link="https://github.com/keras-team/keras/issues/2711",
)
def keras_rate_of_nearly_nothing(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((12,)), layers.Embedding(20, 8), layers.GRU(16), layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.Adam(1e-2 if cured else 1e-9), "binary_crossentropy")
    x, _ = markov(seed)
    return Case(model, x.numpy(), (x.float().mean(1, keepdim=True) > 9.5).float().numpy(), steps=60)


@sick_in_keras(
    "examples-mix",
    family="examples influence each other",
    cause="the softmax runs over axis 0, the examples of the batch",
    link="https://github.com/Lackel/DPN/issues/1",
)
def keras_softmax_over_axis_zero(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    inputs = keras.Input((16,))
    h = layers.Dense(32, activation="relu")(inputs)
    model = keras.Model(inputs, layers.Softmax(axis=-1 if cured else 0)(layers.Dense(4)(h)))
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    x, y = features(seed)

    def evaluate(model: Any, x: Any, y: Any) -> Any:
        alone = np.concatenate([keras.ops.convert_to_numpy(model(x[i : i + 1])) for i in range(32)])
        return (alone.argmax(-1) != y[:32]).mean()

    return Case(model, x.numpy(), y.numpy(), evaluate=evaluate, steps=60)


@sick_in_keras(
    "rate-too-large",
    family="optimisation",
    cause="gradient descent at a rate of ten",
    link="https://github.com/tensorflow/tensorflow/issues/38796",
)
def keras_descent_at_a_rate_of_ten(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    model = keras.Sequential(
        [keras.Input((24, 1)), layers.Conv1D(8, 3, activation="relu"), layers.Flatten(), layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(0.02 if cured else 10.0), "mse")
    x, y = series(seed)
    return Case(model, x.numpy(), y.numpy(), steps=60)
