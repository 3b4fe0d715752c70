"""The Keras initializer: true fans, a stream for every weight, and files."""

import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from gainstage.backends.keras import Initializer
from gainstage.backends.keras.models.batch import values_of
from gainstage.errors import InputError, UnknownNameError

SIGMAS = 5.0


class Pair(keras.Model):
    """Built by its first call, so that Keras makes the weights outside of their layers."""

    def __init__(self, initializer: Initializer) -> None:
        super().__init__()
        self.first = layers.Dense(8, kernel_initializer=initializer)
        self.second = layers.Dense(8, kernel_initializer=initializer)
        self.attention = layers.MultiHeadAttention(2, 4, kernel_initializer=initializer)

    def call(self, inputs):
        hidden = self.second(self.first(inputs))
        return self.attention(hidden, hidden)


def kernels(model) -> list[np.ndarray]:
    return [values_of(v) for v in model.trainable_variables if v.name == "kernel"]


def distinct(arrays: list[np.ndarray]) -> bool:
    return len({a.tobytes() for a in arrays}) == len(arrays)


def test_layers_that_share_it_or_copies_of_it_get_values_of_their_own(white):
    initializer = Initializer("he_normal")
    built_at_once = keras.Sequential([keras.Input((8,)), *[layers.Dense(8, kernel_initializer=initializer)] * 1,
                                      layers.Dense(8, kernel_initializer=initializer)])  # fmt: skip
    assert distinct(kernels(built_at_once))
    later = Pair(initializer)
    later(white(2, 3, 8))
    assert len(kernels(later)) == 6
    assert distinct(kernels(later))


def test_the_same_program_gives_the_same_values(white):
    draws = []
    for _ in range(2):
        keras.utils.clear_session()
        model = Pair(Initializer("normal", seed=3))
        model(white(2, 3, 8))
        draws.append(kernels(model))
    for first, second in zip(*draws, strict=True):
        np.testing.assert_array_equal(first, second)
    keras.utils.clear_session()
    other = Pair(Initializer("normal", seed=4))
    other(white(2, 3, 8))
    assert not np.array_equal(kernels(other)[0], draws[0][0])


TRUE_FANS: dict[str, tuple[Callable[[Initializer], layers.Layer], tuple, int]] = {
    "dense": (lambda i: layers.Dense(64, kernel_initializer=i), (None, 32), 32),
    "convolution in groups": (lambda i: layers.Conv2D(32, 3, groups=4, kernel_initializer=i), (None, 8, 8, 16), 36),
    "transposed": (lambda i: layers.Conv2DTranspose(16, 4, strides=2, kernel_initializer=i), (None, 8, 8, 32), 128),
    "depthwise": (lambda i: layers.DepthwiseConv2D(3, depthwise_initializer=i), (None, 8, 8, 64), 9),
    "einsum": (lambda i: layers.EinsumDense("abc,cde->abde", (None, 4, 16), kernel_initializer=i), (None, 5, 32), 32),
    "gates": (lambda i: layers.LSTM(16, kernel_initializer=i), (None, 5, 32), 32),
}


@pytest.mark.parametrize("name", TRUE_FANS)
def test_fans_are_those_of_the_layer(name):
    make, shape, fan_in = TRUE_FANS[name]
    layer = make(Initializer("he_normal", seed=1))
    layer.build(shape)
    values = values_of(next(v for v in layer.trainable_variables if v.name == "kernel")).astype(np.float64)
    spread = np.mean(values**2) * fan_in / 2
    assert abs(spread - 1) < SIGMAS * math.sqrt(2 / values.size)


def test_it_survives_a_file(tmp_path: Path):
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, kernel_initializer=Initializer("kaiming_normal_", 0.5, 7))]
    )
    model.save(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras")
    assert back.layers[0].kernel_initializer.get_config() == {"scheme": "he_normal", "gain": 0.5, "seed": 7}
    np.testing.assert_array_equal(values_of(back.layers[0].kernel), values_of(model.layers[0].kernel))


def test_gain_and_dtype():
    plain, louder = (Initializer("normal", gain)((6, 5), "float16") for gain in (1.0, 2.0))
    assert keras.backend.standardize_dtype(plain.dtype) == "float16"
    assert np.isfinite(np.asarray(keras.ops.convert_to_numpy(louder))).all()


def test_what_it_refuses():
    with pytest.raises(UnknownNameError, match="Did you mean 'he_normal'"):
        Initializer("he_norml")
    with pytest.raises(InputError, match="finite"):
        Initializer("he_normal", gain=math.inf)
    with pytest.raises(InputError, match="seed"):
        Initializer("he_normal", seed=-1)
    with pytest.raises(InputError, match="two or more axes"):
        Initializer("he_normal")((4,))
