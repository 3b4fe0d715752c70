"""Build the plain networks that demonstrations and experiments run on."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from gainstage.errors import InputError

__all__ = ["mlp"]


def mlp(
    sizes: Sequence[int], *, activation: str = "relu", output: str | None = None, seed: int | None = None
) -> keras.Sequential:
    """A multi-layer perceptron at Keras's default initialization.

    Its layers are called ``hidden_0``, ``hidden_1``, … and ``head``.

    Args:
        sizes: widths from the input to the output, at least two.
        activation: Keras's name of the one after every layer but the head.
        output: of the one after the head; None leaves logits or values.
        seed: of the weights; None takes them from Keras's global random state.

    Raises:
        InputError: fewer than two sizes, or one that is not positive.

    >>> [layer.name for layer in mlp([784, 128, 10], output="softmax").layers]
    ['hidden_0', 'head']
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise InputError(f"A perceptron needs at least two positive sizes, e.g. 784x128x10; received {tuple(sizes)}.")

    def rule(position: int) -> str | keras.initializers.Initializer:
        return "glorot_uniform" if seed is None else keras.initializers.GlorotUniform(seed=1000 * seed + position)

    hidden = [
        keras.layers.Dense(width, activation, kernel_initializer=rule(i), name=f"hidden_{i}")
        for i, width in enumerate(sizes[1:-1])
    ]
    head = keras.layers.Dense(sizes[-1], output, kernel_initializer=rule(len(hidden)), name="head")
    return keras.Sequential([keras.Input((sizes[0],)), *hidden, head])
