"""Networks of Keras with unusual shapes or losses that train well as they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from exam.case import Case
from exam.in_keras.designs import healthy_in_keras
from exam.in_keras.faults import pictures
from exam.problems import areas, prices, tags, two_views


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
    b = layers.Conv2D(16, 3, padding="same", activation="relu", kernel_initializer="he_normal")(
        layers.MaxPooling2D()(a)
    )
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
