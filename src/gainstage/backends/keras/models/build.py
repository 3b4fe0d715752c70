"""Build the plain networks that demonstrations and experiments run on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import keras

from gainstage.backends.model_names import Norm
from gainstage.errors import InputError

__all__ = ["mlp", "network"]


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


def network(
    sizes: tuple[int, ...], activation: str, *, norm: Norm = "none", residual: bool = False, dropout: float = 0.0,
    seed: int = 0,
) -> keras.Model:  # fmt: skip
    """A perceptron that returns logits, with normalisation, skips and dropout as asked.

    Its layers are called ``hidden_0``, ``norm_0``, ``act_0``, ``drop_0``, ``add_0``, … and ``head``.

    Args:
        sizes: widths from the input to the output, at least two.
        activation: Keras's name of the one after every layer but the head.
        norm: between each hidden layer and its activation.
        residual: whether a skip bypasses every hidden layer that keeps the width.
        dropout: share of the hidden units that a training step drops.
        seed: of the weights.

    >>> network((64, 32, 32, 10), "tanh", residual=True).count_params()
    3466
    """
    layers = keras.layers
    x = inputs = keras.Input((sizes[0],))
    for place, width in enumerate(sizes[1:-1]):
        drawn = keras.initializers.GlorotUniform(seed=1000 * seed + place)
        before, x = x, layers.Dense(width, kernel_initializer=drawn, name=f"hidden_{place}")(x)
        if norm != "none":
            kind = layers.BatchNormalization if norm == "batch" else layers.LayerNormalization
            x = kind(name=f"norm_{place}")(x)
        x = layers.Activation(activation, name=f"act_{place}")(x)
        x = layers.Dropout(dropout, name=f"drop_{place}", seed=seed)(x) if dropout else x
        x = layers.Add(name=f"add_{place}")([before, x]) if residual and before.shape == x.shape else x
    drawn = keras.initializers.GlorotUniform(seed=1000 * seed + len(sizes))
    return keras.Model(inputs, layers.Dense(sizes[-1], kernel_initializer=drawn, name="head")(x))
