"""How long it takes to trace and measure a model of keras.applications, against plain passes forward and backward.

KERAS_BACKEND=tensorflow python benchmarks/keras/record_cost.py ResNet50 8 128
"""

import sys
import time

import keras
import numpy as np

from gainstage.backends.keras import record, trace


def plain_pass(model, x, y):
    """Forward and backward, as the backend's own users write it; compiled on JAX."""
    loss = keras.losses.MeanSquaredError()
    variables = model.trainable_variables
    match keras.config.backend():
        case "tensorflow":
            import tensorflow as tf

            def run():
                with tf.GradientTape() as tape:
                    value = loss(y, model(x, training=True))
                return [g.numpy() for g in tape.gradient(value, [v.value for v in variables])]

        case "torch":

            def run():
                loss(keras.ops.convert_to_tensor(y), model(x, training=True)).backward()
                model.zero_grad()

        case "jax":
            import jax

            others = [v.value for v in model.non_trainable_variables]

            def at(values):
                return loss(y, model.stateless_call(values, others, x, training=True)[0])

            def run():  # compiled anew each time, as the measurement is
                jax.block_until_ready(jax.jit(jax.value_and_grad(at))([v.value for v in variables]))

    return run


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main(name="ResNet50", batch="8", pixels="128"):
    shape = (int(pixels), int(pixels), 3)
    model = getattr(keras.applications, name)(weights=None, input_shape=shape, classes=10)
    x = np.random.default_rng(0).standard_normal((int(batch), *shape), dtype=np.float32)
    y = np.zeros((int(batch), 10), np.float32)
    run = plain_pass(model, x, y)
    if keras.config.backend() != "jax":
        run()  # the first pass of a process is slower
    repeats = range(1 if keras.config.backend() == "jax" else 3)
    plain = min(seconds(run) for _ in repeats)
    traced = min(seconds(lambda: trace(model, x)) for _ in repeats)
    measured = min(seconds(lambda: record(model, x, y, loss="mse")) for _ in repeats)
    print(f"{name} on {keras.config.backend()}, {batch} images of {pixels} x {pixels} pixels")
    print(f"one plain pass forward and backward {plain:.2f} s")
    print(f"trace {traced / plain:.2f} of it, trace and record {measured / plain:.2f} of it")


if __name__ == "__main__":
    main(*sys.argv[1:])
