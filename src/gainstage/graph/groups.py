"""Named groups of operations, by which patterns, plans, predictions and rules select operations.

A walk through a graph passes operations that do not affect what it looks for. The groups are nested by what they may do
to a signal: ``COPYING`` < ``SHIFTING`` < ``AFFINE`` < ``MASKED_AFFINE`` < ``LEVEL_KEEPING``. A caller that needs one
operation more or less writes the difference at the call: ``LEVEL_KEEPING | {Operation.ADD}``.
"""

from __future__ import annotations

from typing import Final

from gainstage.graph.operation import Operation

__all__ = [
    "AFFINE", "COPYING", "GATES", "LEVEL_KEEPING", "MIXING", "MULTIPLYING", "NONLINEAR", "OUTWARD", "PAIRWISE",
    "MASKED_AFFINE", "SHIFTING", "SHOWN", "STREAM", "UNWEIGHTED", "WEIGHTED",
]  # fmt: skip

MIXING: Final = frozenset({Operation.LINEAR, Operation.CONVOLUTION})
"""Signal × weight, where every output unit is a sum over input units: a matrix product or a convolution."""

WEIGHTED: Final = frozenset(operation for operation in Operation if operation.weighted)
"""Operations that hold a weight matrix and count as a layer of depth: ``MIXING``, recurrent layers and embeddings."""

UNWEIGHTED: Final = frozenset(Operation) - WEIGHTED
"""All others: a walk through these stops at the nearest layer."""

PAIRWISE: Final = frozenset({Operation.MATMUL, Operation.ATTENTION})
"""Products of two signals that are summed over an axis: scores, attention, bilinear outputs."""

GATES: Final = PAIRWISE | {Operation.MULTIPLY}
"""Signal times signal, summed or element by element."""

NONLINEAR: Final = frozenset({Operation.ACTIVATION, Operation.SOFTMAX})
"""Functions of the signal that are not linear in it."""

MULTIPLYING: Final = frozenset({Operation.NORMALIZATION, Operation.SCALE, Operation.MULTIPLY})
"""Operations that multiply the signal element by element, by a learned scale or by another signal."""

STREAM: Final = frozenset({Operation.NORMALIZATION, Operation.ADD, Operation.ATTENTION})
"""What stands on a residual stream between its layers: measured and predicted only where the detail asks for it."""

COPYING: Final = frozenset({Operation.RESHAPE, Operation.DROPOUT})
"""Every element keeps its value, moved or dropped; no constant takes part."""

SHIFTING: Final = COPYING | {Operation.OFFSET}
"""The signal plus something that does not depend on the input: every difference between examples stays."""

AFFINE: Final = SHIFTING | {Operation.SCALE}
"""The signal times and plus something that does not depend on the input."""

MASKED_AFFINE: Final = AFFINE | {Operation.MASK}
"""Affine in every element, where a mask may hide some of them."""

LEVEL_KEEPING: Final = MASKED_AFFINE | {Operation.POOLING, Operation.RESAMPLE, Operation.REDUCTION}
"""One signal in, about the same signal out, up to a factor: also averaged, pooled or resampled over places."""

OUTWARD: Final = COPYING | {Operation.REDUCTION, Operation.POOLING, Operation.SCALE}
"""What may stand between a last function (sigmoid, softmax) and the output that the loss sees."""

SHOWN: Final = WEIGHTED | NONLINEAR | STREAM
"""The operations whose output a profile of standard detail holds."""
