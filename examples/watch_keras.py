"""Keras on any backend: a callback watches fit, and measures layers and gradients on the batch that it is given."""

import keras
from keras import layers

from gainstage.data import load
from gainstage.integrations.keras import WatchCallback

keras.utils.set_random_seed(0)
digits = load("digits", seed=0)
x, y = digits.x_train.reshape(-1, 64).astype("float32"), digits.y_train
model = keras.Sequential([keras.Input((64,)), layers.Dense(128, activation="relu"), layers.Dense(10)])
model.compile(keras.optimizers.SGD(3.0), keras.losses.SparseCategoricalCrossentropy(from_logits=True))

watching = WatchCallback(x, y)
model.fit(x, y, epochs=1, batch_size=64, verbose=0, callbacks=[watching])
print(watching.watch)
