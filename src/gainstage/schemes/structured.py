"""Schemes with structure: orthogonal kernels, the identity, and constants."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import InputError
from gainstage.graph import KernelShape
from gainstage.schemes.haar import orthonormalize
from gainstage.schemes.table import register
from gainstage.streams import Normal, Stream

__all__ = ["constant", "delta_orthogonal", "identity", "ones", "orthogonal", "zeros"]


def _level_keeping(kernel: KernelShape) -> float:
    return 1 / math.sqrt(kernel.fan_in)


def _no_spread(_kernel: KernelShape) -> float:
    return 0.0


def _not_random(_kernel: KernelShape) -> None:
    return None


@register("orthogonal", spread=_level_keeping,
          reference="Saxe, McClelland and Ganguli (arXiv:1312.6120); Stewart (1980), see schemes/haar.py")  # fmt: skip
def orthogonal(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
    """One random orthogonal matrix per group, scaled so that it keeps the second moment of the signal.

    The matrix of a group is ``(out / groups, in_ / groups · receptive)``. Its shorter side is orthonormal, times ``gain
    · √(longer side / fan_in)``. Without that factor, a layer from 64 to 256 units would return a quarter of the second
    moment. The factor is 1 for a matrix with no more rows than columns, except in transposed convolutions, where one
    output sums only ``overlap`` of the ``receptive`` taps. The patches of a convolution share inputs, so an orthogonal
    kernel is not an orthogonal convolution; ``delta_orthogonal`` is.

    Args:
        kernel: any.
        gain: multiplies every value.
        stream: the source of normal numbers; group g takes the g-th part.

    Returns:
        An array of shape ``kernel.shape``, orthonormal to about 1e-6; linear-algebra libraries agree to about 1e-6.

    >>> weight = orthogonal(KernelShape(3, 5), 1.0, Stream(0, "weight"))[:, :, 0]
    >>> bool(np.allclose(weight @ weight.T, np.eye(3), atol=1e-6))
    True
    """
    rows, columns = kernel.out // kernel.groups, kernel.in_ // kernel.groups * kernel.receptive
    matrices = _orthonormal(kernel.groups, rows, columns, stream)
    matrices *= np.float32(gain * math.sqrt(max(rows, columns) / kernel.fan_in))
    return matrices.reshape(kernel.shape)


@register("delta_orthogonal", spread=_level_keeping, reference="Xiao et al. (arXiv:1806.05393)")
def delta_orthogonal(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
    """Zero except at the centre tap, which is orthogonal: a convolution that keeps norms exactly.

    As in ``orthogonal``, a kernel with more outputs than inputs is multiplied by √(out / in_), and by √(receptive /
    overlap) where it is transposed. It then keeps the second moment of the signal rather than the norm; the two agree
    at equal widths.

    Args:
        kernel: at least as many outputs as inputs. The centre is tap ``receptive // 2``, the middle when every side
            is odd.
        gain: multiplies every value.
        stream: the source of normal numbers; group g takes the g-th part.

    Returns:
        An array of shape ``kernel.shape``.

    Raises:
        InputError: there are more inputs than outputs, so that no kernel keeps norms.

    >>> weight = delta_orthogonal(KernelShape(8, 8, receptive=9), 1.0, Stream(0, "weight"))
    >>> bool(np.allclose(weight[:, :, 4].T @ weight[:, :, 4], np.eye(8), atol=1e-6)), float(abs(weight[:, :, :4]).max())
    (True, 0.0)
    """
    rows, columns = kernel.out // kernel.groups, kernel.in_ // kernel.groups
    if rows < columns:
        raise InputError(
            f"'delta_orthogonal' needs at least as many outputs as inputs; received {kernel}. "
            "Use 'orthogonal', which serves every shape."
        )
    centre = _orthonormal(kernel.groups, rows, columns, stream).reshape(kernel.out, columns)
    return _at_centre(kernel, centre * np.float32(gain * math.sqrt(rows * kernel.receptive / kernel.fan_in)))


@register("identity", spread=_not_random, aliases=("eye", "dirac"),
          reference="Le, Jaitly and Hinton (arXiv:1504.00941); dirac_ in PyTorch")  # fmt: skip
def identity(kernel: KernelShape, gain: float, _stream: Stream) -> NDArray[np.float32]:
    """Copies input i of a group to output i, times ``gain``, at the centre tap; outputs without an input are zero.

    Args:
        kernel: any. The centre is tap ``receptive // 2``, the middle when every side is odd.
        gain: multiplies every value.

    >>> identity(KernelShape(2, 3), 1.0, Stream(0, "weight"))[:, :, 0]
    array([[1., 0., 0.],
           [0., 1., 0.]], dtype=float32)
    """
    rows, columns = kernel.out // kernel.groups, kernel.in_ // kernel.groups
    return _at_centre(kernel, gain * np.tile(np.eye(rows, columns, dtype=np.float32), (kernel.groups, 1)))


@register("zeros", spread=_no_spread, aliases=("zero",),
          reference="for the last weight of a residual branch: Goyal et al. (arXiv:1706.02677), sec. 5.1")  # fmt: skip
def zeros(kernel: KernelShape, _gain: float, _stream: Stream) -> NDArray[np.float32]:
    """Sets every weight to zero. A hidden layer never leaves this state; the last layer of a residual branch does.

    >>> float(zeros(KernelShape(2, 3), 1.0, Stream(0, "weight")).max())
    0.0
    """
    return np.zeros(kernel.shape, dtype=np.float32)


@register(
    "ones", spread=_no_spread, reference="scales of normalisations; a fault in a hidden layer, whose units stay copies"
)
def ones(kernel: KernelShape, gain: float, _stream: Stream) -> NDArray[np.float32]:
    """Sets every weight to the gain.

    >>> float(ones(KernelShape(2, 3), 1.0, Stream(0, "weight")).min())
    1.0
    """
    return np.full(kernel.shape, gain, dtype=np.float32)


@register("constant", spread=_no_spread, reference="a fault in a hidden layer, whose units stay copies of each other")
def constant(kernel: KernelShape, gain: float, stream: Stream) -> NDArray[np.float32]:
    """Sets every weight to the gain.

    >>> float(constant(KernelShape(2, 3), 0.5, Stream(0, "weight")).min())
    0.5
    """
    return ones(kernel, gain, stream)


def _orthonormal(groups: int, rows: int, columns: int, stream: Stream) -> NDArray[np.float32]:
    """Draw matrices ``(groups, rows, columns)``, uniformly distributed, whose shorter side is orthonormal."""
    matrices = np.empty((groups, min(rows, columns), max(rows, columns)), dtype=np.float32)
    stream.fill(matrices, Normal())
    orthonormalize(matrices)
    return matrices if rows <= columns else matrices.swapaxes(1, 2)


def _at_centre(kernel: KernelShape, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    values = np.zeros(kernel.shape, dtype=np.float32)
    values[:, :, kernel.receptive // 2] = matrix
    return values
