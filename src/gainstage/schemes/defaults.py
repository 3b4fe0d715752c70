"""The initializers that frameworks use by default, as a baseline for comparisons.

They are reproduced exactly, with the fans as the framework counts them, right or wrong.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gainstage.graph import KernelShape
from gainstage.schemes import sampling
from gainstage.schemes.table import register
from gainstage.streams import Stream

__all__ = ["keras_default", "keras_embedding", "pytorch_default", "pytorch_embedding"]

_KERAS_LIMIT = 0.05


def _pytorch_spread(kernel: KernelShape) -> float:
    # PyTorch stores transposed kernels with the inputs first and then counts the fan on the second axis: the outputs.
    fan = kernel.fan_in if kernel.overlap is None else kernel.fan_out
    return 1 / math.sqrt(3 * fan)


def _keras_spread(kernel: KernelShape) -> float:
    # Keras counts the outputs of all groups, and no stride.
    fans = (kernel.in_ // kernel.groups + kernel.out) * kernel.receptive
    return math.sqrt(2 / fans)


def _keras_embedding_spread(_kernel: KernelShape) -> float:
    return _KERAS_LIMIT / math.sqrt(3)


def _one(_kernel: KernelShape) -> float:
    return 1.0


@register("pytorch_default", spread=_pytorch_spread, aliases=("torch_default",), independent="uniform",
          reference="reset_parameters of nn.Linear and nn.Conv1d, 2d, 3d: kaiming_uniform_ with a = √5")  # fmt: skip
def pytorch_default(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
    """Uniform in ±gain/√fan_in: variance 1/(3 fan_in), so a linear layer keeps 1/3 of E[x²] and a ReLU layer 1/6.

    Transposed convolutions (``kernel.overlap`` is set) get ``fan_out`` instead, as in PyTorch.

    >>> bool(abs(pytorch_default(KernelShape(20, 25), 1.0, Stream(0, "weight"))).max() <= 0.2)
    True
    """
    return sampling.uniform(kernel, gain * _pytorch_spread(kernel), stream)


@register("pytorch_embedding", spread=_one, aliases=("standard_normal",),
          independent="normal", reference="reset_parameters of nn.Embedding")  # fmt: skip
def pytorch_embedding(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
    """N(0, gain²), whatever the shape.

    >>> pytorch_embedding(KernelShape(2, 3), 0.02, Stream(0, "weight")).shape
    (2, 3, 1)
    """
    return sampling.normal(kernel, gain, stream)


@register("keras_default", spread=_keras_spread, aliases=("tensorflow_default",), independent="uniform",
          reference="kernel_initializer of Keras layers: GlorotUniform, with its compute_fans")  # fmt: skip
def keras_default(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
    """Glorot's uniform with the fans as Keras counts them: ±gain·√(6 / ((in_/groups + out)·receptive)).

    It equals ``glorot_uniform`` for dense layers and ungrouped convolutions.

    >>> kernel, stream = KernelShape(20, 25), Stream(0, "weight")
    >>> bool(abs(keras_default(kernel, 1.0, stream)).max() <= (6 / 45) ** 0.5)
    True
    """
    return sampling.uniform(kernel, gain * _keras_spread(kernel), stream)


@register("keras_embedding", spread=_keras_embedding_spread, independent="uniform",
          reference="embeddings_initializer of Keras's Embedding: RandomUniform(-0.05, 0.05)")  # fmt: skip
def keras_embedding(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
    """U(±.05·gain), whatever the shape.

    >>> bool(abs(keras_embedding(KernelShape(20, 25), 1.0, Stream(0, "weight"))).max() <= 0.05)
    True
    """
    return sampling.uniform(kernel, gain * _keras_embedding_spread(kernel), stream)
