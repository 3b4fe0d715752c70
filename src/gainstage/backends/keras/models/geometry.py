"""Where inputs and outputs of a layer lie in the arrays that Keras stores.

``in_out`` in this backend means ``(*taps, in, out)``: dense kernels, convolutions, recurrent kernels, embeddings.
``out_in`` means ``(*taps, out, in)``: transposed convolutions, and tables used transposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from keras import layers

from gainstage.graph import KernelShape, Layout

__all__ = ["Geometry", "convolution", "depthwise", "einsum", "layer_kernel", "matrix", "recurrent", "transposed"]


@dataclass(frozen=True, slots=True)
class Geometry:
    """How one weight is to be read.

    Args:
        kernel: of one block.
        blocks: equal matrices in one array.
        layout: which axis is stored first.
    """

    kernel: KernelShape
    blocks: int = 1
    layout: Layout = "in_out"


def matrix(shape: Sequence[int]) -> Geometry:
    """``(…, in, out)``, further axes holding one matrix each.

    >>> matrix((784, 128)).kernel.fan_in
    784.0
    """
    if len(shape) == 1:
        return Geometry(KernelShape(1, shape[0]))
    return Geometry(KernelShape(shape[-1], shape[-2]), prod(shape[:-2]))


def convolution(shape: Sequence[int], channels: int | None = None) -> Geometry:
    """``(*taps, in / groups, out)``; ``channels`` is the number of input channels.

    >>> convolution((3, 3, 8, 64), channels=32).kernel.groups
    4
    """
    channels = channels or shape[-2]
    return Geometry(KernelShape(shape[-1], channels, prod(shape[:-2]), channels // shape[-2]))


def transposed(shape: Sequence[int], strides: int | Sequence[int]) -> Geometry:
    """``(*taps, out, in)``; with strides above one only some of the taps meet in an output.

    >>> transposed((4, 4, 64, 256), strides=2).kernel.fan_in
    1024.0
    """
    rank, taps = len(shape) - 2, prod(shape[:-2])
    steps = strides**rank if isinstance(strides, int) else prod(strides)
    return Geometry(KernelShape(shape[-2], shape[-1], taps, overlap=taps / steps), layout="out_in")


def depthwise(shape: Sequence[int]) -> Geometry:
    """``(*taps, in, multiplier)``: every channel has taps of its own.

    >>> depthwise((3, 3, 32, 2)).kernel.fan_in
    9.0
    """
    channels, multiplier = shape[-2:]
    return Geometry(KernelShape(channels * multiplier, channels, prod(shape[:-2]), channels))


def einsum(equation: str, shape: Sequence[int]) -> Geometry | None:
    """The kernel of ``EinsumDense``, if its summed axes stand together: ``abc,cde->abde`` has in c and out d·e.

    >>> einsum("abc,cde->abde", (64, 8, 16)).kernel
    KernelShape(out=128, in_=64, receptive=1, groups=1, overlap=None)
    >>> einsum("abcd,cde->abe", (8, 16, 64)).kernel.fan_in
    128.0
    """
    operands, _, result = equation.replace(" ", "").partition("->")
    signal, _, weight = operands.partition(",")
    letters = weight.replace("...", "")
    if len(letters) != len(shape) or len(set(letters)) != len(letters):
        return None
    kinds = "".join("s" if a in signal and a in result else "i" if a in signal else "o" for a in letters)
    size = {kind: prod(n for n, k in zip(shape, kinds, strict=True) if k == kind) for kind in "sio"}
    kernel = KernelShape(size["o"], size["i"])
    shape_of = kinds.lstrip("s")
    if shape_of.rstrip("o").strip("i") == "":
        return Geometry(kernel, size["s"], "in_out")
    if shape_of.rstrip("i").strip("o") == "":
        return Geometry(kernel, size["s"], "out_in")
    return None


def recurrent(shape: Sequence[int], units: int, channels: int | None = None) -> Geometry | None:
    """``(in, gates · units)``, for convolutional cells ``(*taps, in, gates · filters)``: one block a gate.

    >>> recurrent((32, 256), units=64).blocks
    4
    """
    if len(shape) < 2 or shape[-1] % units:
        return None
    return Geometry(KernelShape(units, channels or shape[-2], prod(shape[:-2])), shape[-1] // units)


def layer_kernel(layer: Any, shape: Sequence[int]) -> Geometry | None:
    """The kernel of that shape in a layer of Keras's own, told without running it; None where there is none."""
    if len(shape) < 2:
        return None
    kind = {base.__name__ for base in type(layer).__mro__}
    if "BaseConvTranspose" in kind:
        return transposed(shape, layer.strides)
    if "BaseDepthwiseConv" in kind:
        return depthwise(shape)
    if "BaseSeparableConv" in kind:
        pointwise = prod(shape[:-2]) == 1 and shape[-1] == layer.filters
        return convolution(shape) if pointwise else depthwise(shape)
    if "BaseConv" in kind:
        return convolution(shape, shape[-2] * layer.groups)
    if "ConvLSTMCell" in kind:
        return recurrent(shape, layer.filters)
    if isinstance(layer, layers.EinsumDense):
        return einsum(_spelled_out(layer.equation), shape)
    if isinstance(layer, (layers.LSTMCell, layers.GRUCell, layers.SimpleRNNCell)):
        return recurrent(shape, layer.units)
    return matrix(shape)


def _spelled_out(equation: str) -> str:
    return equation.replace("...", "")
