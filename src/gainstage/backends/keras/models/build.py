"""Build the plain networks that demonstrations and experiments run on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import keras

from gainstage.errors import InputError

__all__ = ["mlp"]


def mlp(
    sizes: Sequence[int],
    *,
    activation: str = "relu",
    output: str | None = None,
    rule: Literal["glorot_uniform", "he_normal"] = "glorot_uniform",
    seed: int | None = None,
) -> keras.Sequential:
    """A multi-layer perceptron, its kernels drawn by one of Keras's own initializers.

    Its layers are called ``hidden_0``, ``hidden_1``, … and ``head``.

    Args:
        sizes: widths from the input to the output, at least two.
        activation: Keras's name of the one after every layer but the head.
        output: of the one after the head; None leaves logits or values.
        rule: Keras's default, or He's.
        seed: of the weights; None takes them from Keras's global random state.

    Raises:
        InputError: fewer than two sizes, or one that is not positive.

    >>> [layer.name for layer in mlp([784, 128, 10], output="softmax").layers]
    ['hidden_0', 'head']
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise InputError(f"A perceptron needs at least two positive sizes, e.g. 784x128x10; received {tuple(sizes)}.")

    kind = keras.initializers.HeNormal if rule == "he_normal" else keras.initializers.GlorotUniform

    def drawn(position: int) -> keras.initializers.Initializer:
        return kind(seed=None if seed is None else 1000 * seed + position)  # one seed would give equal layers

    hidden = [
        keras.layers.Dense(width, activation, kernel_initializer=drawn(i), name=f"hidden_{i}")
        for i, width in enumerate(sizes[1:-1])
    ]
    head = keras.layers.Dense(sizes[-1], output, kernel_initializer=drawn(len(hidden)), name="head")
    return keras.Sequential([keras.Input((sizes[0],)), *hidden, head])
