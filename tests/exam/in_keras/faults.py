"""Networks of Keras with one known fault each, and the same networks without it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from exam.case import Case, sick
from exam.problems import digits, features, markov, prices, recall, series, tags

sick_in_keras = functools.partial(sick, framework="keras")


def pictures(seed: int, n: int = 128) -> tuple[Any, Any]:
    """Digits as images (n, 8, 8, 1) between 0 and 1, channels last, and their numbers (n,)."""
    x, y = digits(seed, n)
    return x.permute(0, 2, 3, 1).numpy(), y.numpy()


@sick_in_keras(
    "gradient-vanishes",
    family="scale over depth",
    cause="nine hidden layers of sigmoid units at Glorot's start: the gradient is gone long before the first",
    link="https://github.com/mukul-rathi/deep-learning-tutorials/issues/1",
)
def keras_sigmoid_stack(seed: int, cured: bool) -> Case:
    from keras import Input, Sequential, layers

    act, start = ("relu", "he_normal") if cured else ("sigmoid", "glorot_uniform")
    hidden = [layers.Dense(32, activation=act, kernel_initializer=start) for _ in range(9)]
    model = Sequential([Input((16,)), *hidden, layers.Dense(4, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = features(seed)
    return Case(model, x.numpy(), y.numpy(), steps=150)


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
    h = layers.LSTM(16)(h)
    model = keras.Model(inputs, layers.Dense(3, activation=None if cured else "softmax")(h))
    model.compile(keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y = recall(seed)

    def error(out: Any, y: Any) -> Any:
        p = np.exp(out) / np.exp(out).sum(-1, keepdims=True) if cured else out
        return -np.log(p[np.arange(len(y)), y] + 1e-9).mean()

    return Case(model, x.numpy(), y.numpy(), error=error, steps=40)


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
    "signal-explodes",
    family="scale over time",
    cause="a recurrent network with ReLU and recurrent weights above one grows at every step of the sequence",
    link="https://github.com/AlexanderVNikitin/tsgm/issues/59",
)
def keras_lstm_with_relu(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    start = keras.initializers.Orthogonal(1.0 if cured else 4.0, seed=seed)
    lstm = layers.LSTM(24, activation="tanh" if cured else "relu", recurrent_initializer=start)
    model = keras.Sequential([keras.Input((60, 3)), lstm, layers.Dense(3, activation="softmax")])
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    x, y = recall(seed, length=60)
    return Case(model, x.numpy(), y.numpy(), steps=40)


@sick_in_keras(
    "inputs-unscaled",
    family="input and target",
    cause="images as they are loaded, bytes from 0 to 255, go into a convolution without any scaling",
    link="https://github.com/keras-team/keras/issues/6914",
)
def keras_bytes_into_a_convolution(seed: int, cured: bool) -> Case:
    from keras import Input, Sequential, layers

    model = Sequential([Input((8, 8, 1)), layers.Conv2D(16, 3, activation="tanh"), layers.Flatten(), layers.Dense(64, "tanh")])
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = pictures(seed)
    return Case(model, x if cured else (x * 255).astype("uint8"), y, steps=150)


@sick_in_keras(
    "normalization-not-adapted",
    family="normalisation",
    cause="the normalisation layer was never adapted, so raw features pass it unchanged",
    place=("0",),
    link="https://github.com/ageron/handson-ml3/pull/198",
)
def keras_normalization_without_adapt(seed: int, cured: bool) -> Case:
    from keras import Input, Sequential, layers

    x, y = prices(seed)
    raw = (x * 120 + 1000).numpy()
    norm = layers.Normalization()
    if cured:
        norm.adapt(raw)
    model = Sequential([Input((8,)), norm, layers.Dense(32, "tanh"), layers.Dense(1)])
    model.compile("adam", "mse")
    return Case(model, raw, y.numpy(), steps=150)


@sick_in_keras(
    "symmetric-units",
    family="symmetry",
    cause="one unseeded initializer object draws the same values for two parallel branches that are added",
    link="https://github.com/keras-team/keras-hub/issues/352",
)
def keras_one_initializer_for_two_branches(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    shared = keras.initializers.GlorotUniform(seed=7)
    starts = [keras.initializers.GlorotUniform(seed=k) for k in range(6)] if cured else [shared] * 6
    inputs = keras.Input((8,))
    branches = [layers.Dense(1)(layers.Dense(3, "tanh", kernel_initializer=s)(inputs)) for s in starts]
    if not cured:
        end = keras.initializers.Constant(0.3)
        branches = [
            layers.Dense(1, kernel_initializer=end)(layers.Dense(3, "tanh", kernel_initializer=s)(inputs)) for s in starts
        ]
    model = keras.Model(inputs, layers.Add()(branches))
    model.compile(keras.optimizers.Adam(2e-2), "mse")
    x, y = prices(seed)
    return Case(model, x.numpy(), y.numpy(), steps=200)


@sick_in_keras(
    "nothing-trainable",
    family="wiring",
    cause="the whole model, its new head included, is set untrainable before it is compiled",
    link="https://github.com/keras-team/keras/issues/4910",
)
def keras_everything_frozen(seed: int, cured: bool) -> Case:
    from keras import Input, Sequential, layers

    base = Sequential([Input((16,)), layers.Dense(64, activation="relu")], name="base")
    model = Sequential([Input((16,)), base, layers.Dense(4, activation="softmax")])
    (base if cured else model).trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = features(seed)
    return Case(model, x.numpy(), y.numpy(), steps=100)


@sick_in_keras(
    "no-gradient-anywhere",
    family="wiring",
    cause="an argmax inside the model turns scores into a number, and nothing behind it has a gradient",
    link="https://github.com/keras-team/keras/issues/11157",
)
def keras_argmax_inside_the_model(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers, ops

    class Expected(layers.Layer):
        def call(self, scores: Any) -> Any:
            grid = ops.cast(ops.linspace(-2.5, 2.5, 16), "float32")
            if cured:
                return ops.sum(ops.softmax(scores) * grid, -1, keepdims=True)
            return ops.expand_dims(ops.take(grid, ops.argmax(scores, -1)), -1)

        def compute_output_shape(self, shape: Any) -> Any:
            return (*shape[:-1], 1)

    model = keras.Sequential([keras.Input((8,)), layers.Dense(32, "relu"), layers.Dense(16), Expected()])
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    x, y = prices(seed)
    return Case(model, x.numpy(), y.numpy(), steps=80)


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
    return Case(model, x, np.eye(10, dtype="float32")[y], error=error, steps=60)


@sick_in_keras(
    "targets-outside-loss-domain",
    family="the loss itself",
    cause="class numbers up to nine are compared with one sigmoid by binary cross-entropy, which has no lower bound there",
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

    model = Sequential([Input((8,)), layers.Dense(64, activation="relu"), layers.Dense(64, activation="relu"), layers.Dense(1)])
    model.compile("adam", "mse")
    x, y = prices(seed)
    y = y.numpy() if cured else 300000 + 90000 * y.numpy()
    return Case(model, x.numpy(), y, error=lambda p, t: ((p - t) ** 2).mean() / t.var(), steps=100)


@sick_in_keras(
    "noise-drowns-signal",
    family="noise",
    cause="the keep probability is used as the drop rate, behind both hidden layers",
    link="https://github.com/hunkim/DeepLearningZeroToAll/issues/122",
)
def keras_keep_probability_as_rate(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    rate = 0.1 if cured else 0.9
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(8, 3, activation="relu"), layers.Dropout(rate)])
    model.add(layers.Flatten())
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dropout(rate))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    x, y = pictures(seed)
    return Case(model, x, y, steps=60)


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
    "dead-units",
    family="units",
    cause="a bias of minus five in front of the ReLU leaves every unit at zero for every example",
    link="https://github.com/keras-team/keras/issues/7057",
)
def keras_biases_below_the_kink(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    bias = keras.initializers.Constant(0.0 if cured else -5.0)
    hidden = [layers.Dense(24, activation="relu", bias_initializer=bias) for _ in range(2)]
    model = keras.Sequential([keras.Input((16,)), *hidden, layers.Dense(4, activation="softmax")])
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    x, y = features(seed)
    return Case(model, x.numpy(), y.numpy(), steps=100)


@sick_in_keras(
    "hidden-softmax",
    family="units",
    cause="softmax is the activation of the hidden layer",
    link="https://github.com/chris-nemeth/sgmcmc-review-paper/issues/2",
)
def keras_softmax_in_the_middle(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    act = "relu" if cured else "softmax"
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(64, activation=act)])
    model.add(layers.Dense(64, activation=act))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    x, y = pictures(seed)
    return Case(model, x, y, steps=80)


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
        alone = np.concatenate([np.asarray(model(x[i : i + 1])) for i in range(32)])
        return (alone.argmax(-1) != y[:32]).mean()

    return Case(model, x.numpy(), y.numpy(), evaluate=evaluate, steps=60)


@sick_in_keras(
    "norm-batch-of-one",
    family="normalisation",
    cause="batch normalisation of a batch of one subtracts the example from itself",
    link="https://github.com/chainer/chainer/pull/3996",
)
def keras_batch_norm_of_one_example(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    norm = layers.LayerNormalization() if cured else layers.BatchNormalization()
    model = keras.Sequential([keras.Input((8,)), layers.Dense(32), norm, layers.Activation("relu"), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.02), "mse")
    x, y = prices(seed)
    x, y = x.numpy(), y.numpy()

    def evaluate(model: Any, _x: Any, _y: Any) -> Any:
        for i in range(64):
            model.train_on_batch(x[i : i + 1], y[i : i + 1])
        return ((np.asarray(model(x[:64], training=True)) - y[:64]) ** 2).mean()

    return Case(model, x[:1], y[:1], evaluate=evaluate, steps=1)


@sick_in_keras(
    "rate-too-large",
    family="optimisation",
    cause="gradient descent at a rate of ten",
    link="https://github.com/tensorflow/tensorflow/issues/38796",
)
def keras_descent_at_a_rate_of_ten(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((24, 1)), layers.Conv1D(8, 3, activation="relu"), layers.Flatten(), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.02 if cured else 10.0), "mse")
    x, y = series(seed)
    return Case(model, x.numpy(), y.numpy(), steps=60)
