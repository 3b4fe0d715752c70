"""Networks of Keras with one known fault each, and the same networks without it."""

from __future__ import annotations

import functools
from typing import Any

from exam.case import Case, sick
from exam.problems import digits, features, prices, recall

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
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(16, 3, activation="relu"), layers.Flatten()])
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    x, y = pictures(seed)
    return Case(model, x if cured else (x * 255).astype("uint8"), y, steps=80)


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
    cause="one unseeded initializer object draws the same values for parallel branches that are added",
    link="https://github.com/keras-team/keras-hub/issues/352",
)
def keras_one_initializer_for_two_branches(seed: int, cured: bool) -> Case:
    import keras
    from keras import layers

    shared = keras.initializers.GlorotUniform(seed=7)
    starts = [keras.initializers.GlorotUniform(seed=k) for k in range(12)] if cured else [shared] * 12
    inputs = keras.Input((8,))
    end = keras.initializers.Constant(0.15)
    branches = [
        layers.Dense(1, kernel_initializer=end)(layers.Dense(1, "tanh", kernel_initializer=s)(inputs)) for s in starts
    ]
    model = keras.Model(inputs, layers.Add()(branches))
    model.compile(keras.optimizers.Adam(2e-2), "mse")
    x, y = prices(seed)
    return Case(model, x.numpy(), y.numpy(), steps=150)


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
    "gradient-cut",
    family="wiring",
    cause="an argmax inside the model turns scores into a number, and nothing in front of it has a gradient",
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

    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(32, "relu"), layers.Dense(16), Expected(), layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    x, y = prices(seed)
    return Case(model, x.numpy(), y.numpy(), steps=80)


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
        return ((keras.ops.convert_to_numpy(model(x[:64], training=True)) - y[:64]) ** 2).mean()

    return Case(model, x[:1], y[:1], evaluate=evaluate, steps=1)
