"""What some of Keras's layers and operations do, said in smaller operations than their own code uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from gainstage.backends.keras.models.names import attributes

__all__ = ["EXPANSIONS", "OPERATION_EXPANSIONS", "Elementwise", "REPLAYS", "SPECIFICATIONS"]


class Elementwise(keras.Operation):  # type: ignore[misc]
    """An activation function whose code refuses symbols, as one operation.

    Args:
        function: from an array to one of the same shape.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function
        self.label: str = getattr(function, "__name__", type(function).__name__).strip("<>")

    def call(self, x: Any) -> Any:
        """The function itself."""
        return self.function(x)

    def compute_output_spec(self, x: Any) -> Any:
        """Shape and dtype stay."""
        return keras.KerasTensor(x.shape, x.dtype)


def _time_distributed(layer: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
    """Every step of time is an example of its own."""
    batch, time, *rest = inputs.shape
    arguments = {"training": training} if layer.layer._call_has_training_arg else {}
    if mask is not None and layer.layer._call_has_mask_arg:
        arguments["mask"] = ops.reshape(mask, (batch * time, *mask.shape[2:]))
    inner = layer.layer(ops.reshape(inputs, (batch * time, *rest)), **arguments)
    return ops.reshape(inner, (batch, time, *inner.shape[1:]))


_MERGES: Mapping[str, Callable[[Any, Any], Any]] = {
    "concat": lambda ahead, back: ops.concatenate([ahead, back], axis=-1),
    "sum": lambda ahead, back: ops.add(ahead, back),
    "ave": lambda ahead, back: ops.divide(ops.add(ahead, back), 2),
    "mul": lambda ahead, back: ops.multiply(ahead, back),
}


def _bidirectional(
    layer: Any, sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None
) -> Any:
    """One recurrent layer a way, whatever fused kernel the backend has for both."""
    half = len(initial_state) // 2 if initial_state is not None else 0
    states = (initial_state[:half], initial_state[half:]) if initial_state is not None else (None, None)
    ways = []
    for inner, state in zip((layer.forward_layer, layer.backward_layer), states, strict=True):
        arguments = {"training": training} if inner._call_has_training_arg else {}
        if inner._call_has_mask_arg:
            arguments["mask"] = mask
        out = inner(sequences, initial_state=state, **arguments)
        ways.append(list(out) if layer.return_state else [out])
    (ahead, *states_ahead), (back, *states_back) = ways
    if layer.return_sequences:
        back = ops.flip(back, axis=1)
    outputs = (ahead, back) if layer.merge_mode is None else (_MERGES[layer.merge_mode](ahead, back),)
    if layer.return_state:
        return (*outputs, *states_ahead, *states_back)
    return outputs if layer.merge_mode is None else outputs[0]


def _softmax(layer: Any, inputs: Any, mask: Any = None) -> Any:
    """What is masked is put out of reach, by an operation that takes symbols."""
    if mask is None:
        return layer.call(inputs)
    if "bool" not in str(mask.dtype):
        mask = ops.greater(mask, 0.5)
    lowest = -3e4 if str(inputs.dtype) == "float16" else -1e9
    return layer.call(ops.where(mask, inputs, ops.cast(lowest, inputs.dtype)))


def _spectral(layer: Any, inputs: Any, training: Any = False) -> Any:
    """The kernel divided by its largest singular value as a derived weight, where Keras assigns it to the variable."""
    inner = layer.layer
    if not training:
        return inner(inputs)
    held = next(name for name, value in attributes(inner).items() if value is layer.kernel)
    matrix = ops.reshape(layer.kernel, (-1, layer.kernel.shape[-1]))
    left = right = ops.convert_to_tensor(layer.vector_u.value)
    for _ in range(layer.power_iterations):
        left = ops.normalize(ops.matmul(right, ops.transpose(matrix)), axis=None)
        right = ops.normalize(ops.matmul(left, matrix), axis=None)
    left, right = ops.stop_gradient(left), ops.stop_gradient(right)
    largest = ops.matmul(ops.matmul(left, matrix), ops.transpose(right))
    inner.__dict__[held] = ops.divide(layer.kernel, ops.reshape(largest, ()))
    try:
        return inner(inputs)
    finally:
        inner.__dict__[held] = layer.kernel


def _rescaling(layer: Any, inputs: Any) -> Any:
    """Two operations, so that scale and offset are known."""

    def constant(values: Any) -> Any:
        array = np.asarray(values, dtype=np.float32)
        if not array.ndim:
            return float(array)
        first = keras.config.image_data_format() == "channels_first"
        return ops.convert_to_tensor(array.reshape(*array.shape, *[1] * (3 - array.ndim)) if first else array)

    scaled = ops.multiply(ops.cast(inputs, layer.compute_dtype), constant(layer.scale))
    return ops.add(scaled, constant(layer.offset)) if np.any(layer.offset) else scaled


EXPANSIONS: tuple[tuple[type, Callable[..., Any]], ...] = (
    (layers.TimeDistributed, _time_distributed),
    (layers.Bidirectional, _bidirectional),
    (layers.Softmax, _softmax),
    (layers.Rescaling, _rescaling),
    (layers.SpectralNormalization, _spectral),
)
"""Instead of the layer's own ``call``."""


def _separable(operation: Any, inputs: Any, depthwise_kernel: Any, pointwise_kernel: Any) -> Any:
    depthwise = ops.depthwise_conv(
        inputs,
        depthwise_kernel,
        strides=operation.strides,
        padding=operation.padding,
        data_format=operation.data_format,
        dilation_rate=operation.dilation_rate,
    )
    return ops.conv(depthwise, pointwise_kernel, strides=1, padding="valid", data_format=operation.data_format)


OPERATION_EXPANSIONS: Mapping[str, Callable[..., keras.KerasTensor]] = {"SeparableConv": _separable}
"""Instead of the operation itself."""


def _transposed(operation: Any, inputs: Any, kernel: Any) -> Any:
    return ops.conv_transpose(
        inputs,
        kernel,
        strides=operation.strides,
        padding=operation.padding,
        output_padding=operation.output_padding,
        data_format=operation.data_format,
        dilation_rate=operation.dilation_rate,
    )


REPLAYS: Mapping[str, Callable[..., Any]] = {"ConvTranspose": _transposed}
"""Operations whose own ``call`` hands padding and output padding over in the wrong order (Keras 3.15)."""


def _grouped(operation: Any, inputs: Any, kernel: Any) -> Any:
    axis = 1 if (operation.data_format or keras.config.image_data_format()) == "channels_first" else -1
    shape = list(inputs.shape)
    if shape[axis] % kernel.shape[-2] == 0:
        shape[axis] = kernel.shape[-2]
    return operation.compute_output_spec(keras.KerasTensor(shape, inputs.dtype), kernel)


def _halved(operation: Any, x: Any) -> Any:
    shape = list(x.shape)
    shape[operation.axis] //= 2
    return keras.KerasTensor(shape, x.dtype)


SPECIFICATIONS: Mapping[str, Callable[..., Any]] = {"Conv": _grouped, "Glu": _halved}
"""Operations that refuse symbols where they take arrays (convolutions in groups) or tell a wrong shape (Keras 3.15)."""
