"""Which of Keras's operations and layers is which of ours.

Operations go by the name of their class in ``keras.ops``. What is in no table becomes ``UNKNOWN`` and is named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import keras
import numpy as np
from keras import layers

from gainstage.backends.keras.models.batch import as_array
from gainstage.graph import DerivationStep, Operation

__all__ = [
    "ACTIVATIONS", "ADDITIVE", "LOSSES", "MULTIPLICATIVE", "NORMALIZATIONS", "POINTWISE", "REARRANGEMENTS",
    "REDUCTIONS", "STRUCTURAL", "TRANSPARENT", "TRANSPOSING", "WholeLayer", "base_name", "interpolation",
    "is_unadapted", "step",
    "whole_layer",
]  # fmt: skip

ACTIVATIONS: Final = {
    "Relu": "relu", "ReLU": "relu", "Relu6": "relu6", "LeakyRelu": "leaky_relu", "Elu": "elu", "Celu": "celu",
    "Selu": "selu", "Gelu": "gelu", "Silu": "silu", "Mish": "mish", "Sigmoid": "sigmoid", "Tanh": "tanh",
    "Softplus": "softplus", "Softsign": "softsign", "HardSigmoid": "hardsigmoid", "HardSilu": "hardswish",
    "HardTanh": "hardtanh", "LogSigmoid": "logsigmoid", "SoftShrink": "softshrink", "HardShrink": "hardshrink",
    "TanhShrink": "tanhshrink", "Threshold": "threshold", "Glu": "glu", "Squareplus": "squareplus",
    "SparsePlus": "sparse_plus", "SparseSigmoid": "sparse_sigmoid", "Erf": "erf", "Sin": "sin", "Exp": "exp",
    "Square": "square", "Power": "pow",
}  # fmt: skip
"""Elementwise (and ``glu``): class of the operation to the name in gainstage's table of activations."""

NORMALIZATIONS: Final = {"BatchNorm": "batch_norm", "LayerNorm": "layer_norm", "RMSNorm": "rms_norm",
                         "Normalize": "unit_norm"}  # fmt: skip

LOSSES: Final = {
    "CategoricalCrossentropy": ("cross_entropy", "probability_nll"),
    "SparseCategoricalCrossentropy": ("cross_entropy", "probability_nll"),
    "BinaryCrossentropy": ("bce_logits", "bce"),
    "CTCLoss": ("other", "other"),
}
"""The kind of loss from logits, and from probabilities."""

_STRUCTURAL: Final = {
    Operation.CONCATENATION: "Concatenate Stack Hstack Vstack Dstack Append",
    Operation.POOLING: "MaxPool AveragePool AdaptiveMaxPool AdaptiveAveragePool",
    Operation.REDUCTION: """
        Mean Sum Max Min Amax Amin Var Std Prod Median Logsumexp Norm Moments Cumsum Cumprod Average Nanmean Nansum
    """,
    Operation.SOFTMAX: "Softmax LogSoftmax Sparsemax",
    Operation.MASK: "Where Tril Triu",
    Operation.ATTENTION: "DotProductAttention",
    Operation.RESAMPLE: "Resize ScaleAndTranslate AffineTransform MapCoordinates",
    Operation.RESHAPE: """
        Pad Roll Flip Fliplr Flipud GetItem Take TakeAlongAxis Repeat Tile Split ArraySplit Unstack Slice SliceUpdate
        Scatter ScatterUpdate Sort TopK Diagonal Diag Rot90 Real Imag Unfold Fold DepthToSpace SpaceToDepth
        ExtractPatches ExtractSequences CropImages PadImages RFFT IRFFT FFT FFT2 Hsplit Vsplit
    """,
}
STRUCTURAL: Final = {name: operation for operation, names in _STRUCTURAL.items() for name in names.split()}
"""Operations that are neither weighted nor elementwise."""

REDUCTIONS: Final = {"amax": "max", "amin": "min", "nansum": "sum", "nanmean": "mean"}
"""Short name of a reduction to its ``function``, where the two differ."""

_REARRANGEMENTS: Final = {
    "slice": "GetItem Split ArraySplit Unstack Slice Hsplit Vsplit CropImages",
    "gather": "Take TakeAlongAxis TopK",
    "reorder": "Roll Flip Fliplr Flipud Rot90 Sort",
    "pad": "Pad PadImages",
    "repeat": "Repeat Tile",
    "depth_to_space": "DepthToSpace",
}
REARRANGEMENTS: Final = {name: function for function, names in _REARRANGEMENTS.items() for name in names.split()}
"""Class of the operation to the ``function`` of a reshape."""

TRANSPARENT: Final = frozenset(
    """
    Reshape Transpose Cast SaturateCast ConvertToTensor ExpandDims Squeeze Moveaxis Swapaxes Ravel Copy BroadcastTo
    StopGradient View Array Identity NanToNum Rearrange Nan_to_num
    """.split()
)
"""Every element survives as it is: no node of its own, the symbol goes on being its producer's output."""

TRANSPOSING: Final = frozenset({"Transpose", "Moveaxis", "Swapaxes", "Rearrange"})
"""Those of them that put axes in another order."""

ADDITIVE: Final = {"Add": "add", "Subtract": "sub"}
MULTIPLICATIVE: Final = {"Multiply": "mul", "Divide": "div", "TrueDivide": "div", "DivideNoNan": "div"}

POINTWISE: Final = frozenset(
    """
    Abs Absolute Fabs Arccos Arccosh Arcsin Arcsinh Arctan Arctanh Cbrt Clip Cos Cosh Exp2 Expm1 Log Log10 Log1p Log2
    Reciprocal Rsqrt Sign Sinc Sinh Sqrt Tan Erfc Erfinv Round Floor Ceil Trunc Maximum Minimum Angle
    """.split()
)
"""Elementwise and nonlinear, without an entry in gainstage's table of activations."""

_SPELLED: Final = ADDITIVE | MULTIPLICATIVE | ACTIVATIONS


_STEPS: Final = {
    DerivationStep.TRANSPOSE: "Transpose Swapaxes Moveaxis",
    DerivationStep.CAST: "Cast SaturateCast",
    DerivationStep.GATHER: _REARRANGEMENTS["gather"],
    DerivationStep.SLICE: _REARRANGEMENTS["slice"],
    DerivationStep.CONCATENATE: "Concatenate Stack Hstack Vstack",
    DerivationStep.RESHAPE: "Repeat Tile",
    DerivationStep.PRODUCT: "Matmul Dot Tensordot Inner Einsum",
    DerivationStep.SUM: "Add",
    DerivationStep.DIFFERENCE: "Subtract",
    DerivationStep.SCALE: "Multiply",
    DerivationStep.DIVIDE: "Divide TrueDivide DivideNoNan",
    DerivationStep.NEGATE: "Negative",
    DerivationStep.ABSOLUTE: "Abs Absolute Fabs",
    DerivationStep.SQUARE: "Square",
    DerivationStep.EXPONENTIAL: "Exp",
    DerivationStep.RELU: "Relu ReLU",
    DerivationStep.SIGMOID: "Sigmoid",
    DerivationStep.SOFTPLUS: "Softplus",
    DerivationStep.TANH: "Tanh",
    DerivationStep.POWER: "Power Sqrt Rsqrt Reciprocal",
    DerivationStep.REDUCE: "Mean Sum Max Min Amax Amin Var Std Norm Logsumexp",
    DerivationStep.CLAMP: "Clip",
    DerivationStep.ROUND: "Round Floor Ceil Trunc Sign",
    DerivationStep.MASK: "Where Tril Triu",
}
_STEP_OF: Final = {name: step for step, names in _STEPS.items() for name in names.split()}


def step(operation: str) -> DerivationStep:
    """The step of a derivation that an operation of that class is.

    >>> step("Transpose").value, step("Reshape").value, step("Erfinv").value
    ('transposition', 'reshaping', 'another operation')
    """
    other = DerivationStep.RESHAPE if operation in TRANSPARENT else DerivationStep.OTHER
    return _STEP_OF.get(operation, other)


def base_name(operation: Any) -> str:
    """A short name for people: ``DotProductAttention`` to ``dot_product_attention``.

    >>> import keras
    >>> base_name(keras.layers.LayerNormalization())
    'layer_normalization'
    """
    label: str = getattr(operation, "label", "")  # of a function that is no operation of Keras
    if label:
        return label
    name = type(operation).__name__
    return _SPELLED.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


@dataclass(frozen=True, slots=True)
class WholeLayer:
    """A layer that is one operation.

    Args:
        kind: the operation.
        function: of it.
    """

    kind: Operation
    function: str = ""


_CELLS = (layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell, layers.StackedRNNCells)
_DROPOUTS = (layers.Dropout, layers.AlphaDropout, layers.SpatialDropout1D, layers.SpatialDropout2D,
             layers.SpatialDropout3D, layers.GaussianDropout, layers.GaussianNoise)  # fmt: skip

_DISCRETE = (layers.CategoryEncoding, layers.Discretization, layers.IntegerLookup, layers.StringLookup,
             layers.Hashing, layers.HashedCrossing, layers.TextVectorization)  # fmt: skip

_WHOLE: tuple[tuple[Any, Operation, str], ...] = (
    (layers.BatchNormalization, Operation.NORMALIZATION, "batch_norm"),
    (layers.LayerNormalization, Operation.NORMALIZATION, "layer_norm"),
    (layers.GroupNormalization, Operation.NORMALIZATION, "group_norm"),
    (layers.RMSNormalization, Operation.NORMALIZATION, "rms_norm"),
    (layers.UnitNormalization, Operation.NORMALIZATION, "unit_norm"),
    (layers.Normalization, Operation.NORMALIZATION, "standardization"),
    ((layers.LSTM, layers.LSTMCell, layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D), Operation.RECURRENT,
     "lstm"),
    ((layers.GRU, layers.GRUCell), Operation.RECURRENT, "gru"),
    ((layers.RNN, *_CELLS), Operation.RECURRENT, "cells"),
    (_DROPOUTS, Operation.DROPOUT, ""),
    (layers.PReLU, Operation.ACTIVATION, "prelu"),
    (layers.Masking, Operation.MASK, ""),
    ((layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D, layers.Resizing), Operation.RESAMPLE, "images"),
)  # fmt: skip


def _of_cells(layer: Any) -> str:
    """Of which kind the cells of a recurrent layer are, where all are of one; those of a user's own count as plain."""
    cell = getattr(layer, "cell", layer)
    cells = cell.cells if isinstance(cell, layers.StackedRNNCells) else [cell]
    kinds = {_of_cell(cell) for cell in cells}
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _of_cell(cell: Any) -> str:
    if isinstance(cell, layers.LSTMCell):
        return "lstm"
    if isinstance(cell, layers.GRUCell):
        return "gru"
    return "rnn_relu" if getattr(cell, "activation", None) is keras.activations.relu else "rnn"


def interpolation(kind: str) -> str:
    """How an image is resampled: ``nearest``, ``linear`` or ``cubic``.

    >>> interpolation("bilinear"), interpolation("nearest")
    ('linear', 'nearest')
    """
    return next((known for known in ("nearest", "cubic") if known in kind), "linear")


def _of_resampling(layer: Any) -> str:
    """The layers without a choice repeat places."""
    return interpolation(str(getattr(layer, "interpolation", "nearest")))


_ASKED: Final = {"cells": _of_cells, "images": _of_resampling}
"""Functions that are read off the layer itself."""


def is_unadapted(layer: Any) -> bool:
    """Report whether a ``Normalization`` layer has no statistics and saw no data, and returns its input unchanged.

    >>> is_unadapted(layers.Normalization()), is_unadapted(layers.Normalization(mean=3.0, variance=2.0))
    (True, False)
    """
    if layer.input_mean is not None:
        return False
    mean, variance = (getattr(layer, name, None) for name in ("adapt_mean", "adapt_variance"))
    if mean is None or variance is None:
        return True
    return not np.any(as_array(mean.value)) and bool(np.all(np.isin(as_array(variance.value), (0.0, 1.0))))


def whole_layer(layer: Any) -> WholeLayer | None:
    """What a layer is that gainstage does not look into; None for all others.

    >>> whole_layer(layers.Dropout(0.5)).kind.value, whole_layer(layers.Dense(2))
    ('dropout', None)
    """
    if isinstance(layer, layers.Normalization) and is_unadapted(layer):
        return WholeLayer(Operation.SCALE)
    for kinds, operation, function in _WHOLE:
        if isinstance(layer, kinds):
            return WholeLayer(operation, _ASKED[function](layer) if function in _ASKED else function)
    if isinstance(layer, _DISCRETE):
        return WholeLayer(Operation.SCALE, "one_hot" if getattr(layer, "output_mode", "") == "one_hot" else "")
    if type(layer).__module__.startswith("keras.src.layers.preprocessing.image_preprocessing"):
        return WholeLayer(Operation.RESHAPE)  # augmentation: pictures are moved, cut or coloured
    return None
