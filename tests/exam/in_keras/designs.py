"""Networks of Keras that train well as they are."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from exam.case import Case, healthy
from exam.in_keras.faults import pictures
from exam.problems import areas, features, generator, markov, prices, recall, series, tags, two_views

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

    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Rescaling(1 / 255), layers.Conv2D(12, 3, padding="same",
                             activation="relu"), layers.MaxPooling2D(), layers.Flatten(), layers.Dropout(0.2), layers.Dense(10)])  # fmt: skip
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
        b = layers.Activation("relu")(layers.BatchNormalization()(h))
        b = layers.Conv2D(12, 3, padding="same", use_bias=False)(b)
        b = layers.Activation("relu")(layers.BatchNormalization()(b))
        h = layers.Add()([h, layers.Conv2D(12, 3, padding="same", use_bias=False)(b)])
    h = layers.GlobalAveragePooling2D()(layers.Activation("relu")(layers.BatchNormalization()(h)))
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
    h = layers.ReLU()(layers.BatchNormalization()(h))
    h = layers.ReLU()(layers.BatchNormalization()(layers.SeparableConv2D(24, 3, padding="same")(h)))
    h = layers.MaxPooling2D(2)(h)
    h = layers.ReLU()(layers.BatchNormalization()(layers.SeparableConv2D(32, 3, padding="same")(h)))
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
    model = keras.Sequential([keras.Input((8,)), norm, layers.Dense(64, "relu"), layers.Dense(64, "relu"), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(3e-3), "mean_absolute_error")
    return Case(model, raw, y.numpy(), steps=60)


@healthy_in_keras("counts", "https://keras.io/api/losses/probabilistic_losses/#poisson-class")
def keras_poisson_of_an_exponential(seed: int) -> Case:
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((8,)), layers.Dense(24, "relu"), layers.Dense(1, activation="exponential")])
    model.compile(keras.optimizers.Adam(1e-2), "poisson")
    x, y = prices(seed)
    counts = np.random.default_rng(seed).poisson(np.exp(0.7 * y.numpy() + 0.5)).astype("float32")
    error = lambda p, t: (p - t * np.log(p + 1e-7)).mean() - (t.mean() - t.mean() * np.log(t.mean())) + 1  # noqa: E731
    return Case(model, x.numpy(), counts, error=error, steps=80)


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

    model = keras.Sequential([keras.Input((64,)), layers.Dense(32, "relu"), layers.Dense(8, "relu"), layers.Dense(32, "relu")])
    model.add(layers.Dense(64, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy")
    x, _ = pictures(seed)
    flat = x.reshape(len(x), -1)
    return Case(model, flat, flat, error=lambda p, t: ((p - t) ** 2).mean() / t.var(), steps=80)


@healthy_in_keras("variational autoencoder", "https://keras.io/examples/generative/vae/")
def keras_variational_autoencoder_with_add_loss(seed: int) -> Case:
    import keras
    from keras import layers, ops

    class Sampling(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.noise = keras.random.SeedGenerator(seed)

        def call(self, moments: Any) -> Any:
            mean, log_var = moments
            self.add_loss(-0.02 * ops.mean(ops.sum(1 + log_var - mean**2 - ops.exp(log_var), -1)))
            return mean + ops.exp(0.5 * log_var) * keras.random.normal(ops.shape(mean), seed=self.noise)

    inputs = keras.Input((64,))
    h = layers.Dense(48, "relu")(inputs)
    z = Sampling()([layers.Dense(6)(h), layers.Dense(6)(h)])
    model = keras.Model(inputs, layers.Dense(64, "sigmoid")(layers.Dense(48, "relu")(z)))
    model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy")
    x, _ = pictures(seed)
    flat = x.reshape(len(x), -1)
    return Case(model, flat, flat, error=lambda p, t: ((p - t) ** 2).mean() / t.var(), steps=80)


@healthy_in_keras("segmentation", "https://keras.io/examples/vision/oxford_pets_image_segmentation/")
def keras_small_u_net(seed: int) -> Case:
    import keras
    from keras import layers

    inputs = keras.Input((16, 16, 1))
    a = layers.Conv2D(8, 3, padding="same", activation="relu", kernel_initializer="he_normal")(inputs)
    b = layers.Conv2D(16, 3, padding="same", activation="relu", kernel_initializer="he_normal")(layers.MaxPooling2D()(a))
    u = layers.Conv2DTranspose(8, 2, strides=2, activation="relu")(b)
    h = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.Concatenate()([a, u]))
    model = keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(h))
    model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy")
    x, y = areas(seed)
    return Case(model, x.permute(0, 2, 3, 1).numpy(), y.permute(0, 2, 3, 1).numpy(), steps=40)


@healthy_in_keras("several inputs and outputs", "https://keras.io/guides/functional_api/")
def keras_two_inputs_and_two_outputs(seed: int) -> Case:
    import keras
    from keras import layers

    numbers, region = keras.Input((8,), name="numbers"), keras.Input((1,), dtype="int32", name="region")
    h = layers.Concatenate()([numbers, layers.Flatten()(layers.Embedding(5, 4)(region))])
    h = layers.Dense(32, "relu")(h)
    price = layers.Dense(1, name="price")(h)
    dear = layers.Dense(1, activation="sigmoid", name="dear")(h)
    model = keras.Model({"numbers": numbers, "region": region}, {"price": price, "dear": dear})
    losses = {"price": "mse", "dear": "binary_crossentropy"}
    model.compile(keras.optimizers.Adam(1e-2), losses, loss_weights={"price": 1.0, "dear": 0.5})
    x, y = prices(seed)
    where = np.random.default_rng(seed).integers(0, 5, (len(x), 1))
    target = {"price": y.numpy(), "dear": (y.numpy() > 0).astype("float32")}
    return Case(model, {"numbers": x.numpy(), "region": where}, target, steps=60)


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

    model = keras.Sequential([keras.Input((24, 1)), layers.GRU(20, return_sequences=True), layers.GRU(20), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.Huber())
    x, y = series(seed)
    return Case(model, x.numpy(), y.numpy(), steps=40)


@healthy_in_keras("several labels", "https://keras.io/api/losses/probabilistic_losses/#binaryfocalcrossentropy-class")
def keras_focal_loss_of_tags(seed: int) -> Case:
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((16,)), layers.Dense(32, "relu"), layers.Dense(5, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.BinaryFocalCrossentropy(gamma=2.0))
    x, y = tags(seed)
    return Case(model, x.numpy(), y.numpy(), steps=60)


@healthy_in_keras("hinge with sides of -1 and 1", "https://keras.io/api/losses/hinge_losses/")
def keras_hinge_with_right_labels(seed: int) -> Case:
    import keras
    from keras import layers

    decay = keras.regularizers.L2(1e-3)
    model = keras.Sequential([keras.Input((16,)), layers.Dense(32, "relu", kernel_regularizer=decay), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(5e-3), "hinge")
    x, y = tags(seed, labels=1)
    return Case(model, x.numpy(), 2 * y.numpy() - 1, steps=60)


@healthy_in_keras("shared towers", "https://keras.io/examples/vision/siamese_contrastive/")
def keras_siamese_towers(seed: int) -> Case:
    import keras
    from keras import layers

    tower = keras.Sequential([keras.Input((16,)), layers.Dense(32, "relu"), layers.Dense(8)])
    left, right = keras.Input((16,)), keras.Input((16,))
    gap = layers.Subtract()([tower(left), tower(right)])
    merged = layers.BatchNormalization()(layers.Multiply()([gap, gap]))
    model = keras.Model([left, right], layers.Dense(1, activation="sigmoid")(merged))
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")
    a, b = two_views(seed, n=96)
    other = np.arange(96) % 2 == 0
    b = np.where(other[:, None], np.roll(b.numpy(), 7, 0), b.numpy())
    return Case(model, [a.numpy(), b], (~other).astype("float32")[:, None], steps=60)


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
