"""Small looks at layers, for experiments; what they return holds no tensors."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from gainstage.backends.keras.models.batch import values_of
from gainstage.backends.keras.models.build import mlp

__all__ = ["classic_weights"]


def classic_weights(
    sizes: tuple[int, ...], rule: Literal["he_normal", "default"], seed: int = 0
) -> tuple[np.ndarray[Any, Any], ...]:
    """The kernels of ``Dense`` layers as Keras itself draws them, each of shape (in, out).

    Args:
        sizes: widths from the input to the output.
        rule: ``keras.initializers.HeNormal``, or the layer's own default.
        seed: of Keras's initializers.

    >>> [kernel.shape for kernel in classic_weights((784, 128, 10), "default")]
    [(784, 128), (128, 10)]
    """
    model = mlp(sizes, rule="he_normal" if rule == "he_normal" else "glorot_uniform", seed=seed)
    return tuple(values_of(layer.kernel) for layer in model.layers)
