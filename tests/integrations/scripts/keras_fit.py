"""Keras, on the backend that is set."""

import keras
import numpy as np

x = np.random.default_rng(0).normal(size=(128, 8)).astype("float32")
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(2)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(x, (x[:, 0] > 0).astype("int32"), epochs=2, verbose=0)
