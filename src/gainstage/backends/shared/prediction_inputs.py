"""What prediction needs of a model's weights and inputs, from what a backend reads of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.backends.shared.weights import projection
from gainstage.errors import InputError
from gainstage.graph import Operation, Parameter, Role, SignalGraph
from gainstage.records import Moments, WeightMoments

__all__ = [
    "PAIRED", "SAMPLE", "Stored", "is_opposed", "is_table", "kurtosis_of", "one_tap", "projected",
    "require_shape", "sampled_examples", "weight_moments",
]  # fmt: skip

SAMPLE = 4_000_000
"""Elements that are enough for moments."""

PAIRED = frozenset({Role.HIDDEN, Role.BEFORE_NORM, Role.HEAD})
"""Roles of weights that may stand in mirrored pairs."""

_OPPOSED = 1e-5  # of the largest: what single precision leaves, and far below what independent weights do

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a backend reads of one parameter, in double precision.

    Args:
        moments: over all elements.
        rows: the sum of every unit's incoming weights, shape ``(units,)``; None where the parameter has no such rows.
        sample: evenly spaced elements of a parameter with rows.
        mean_row: of a table, shape ``(columns,)``; None for every other parameter.
        gates: what a recurrent layer's bias adds in every gate, ``(gates, units)``; None for every other parameter.
        vector: all elements in one row, where there are as few as a bias has.
        sums: of a weight, what random numbers make of it: summed over outputs, ``(groups, inputs · taps)``, and over
            what every output reads, ``(outputs,)``; opposite weights leave opposite sums.
        one_tap: of a convolution, whether its middle tap alone is not zero.
    """

    moments: Moments
    rows: Array | None = None
    sample: Array | None = None
    mean_row: Array | None = None
    gates: Array | None = None
    vector: Array | None = None
    sums: tuple[Array, Array] | None = None
    one_tap: bool = False


def weight_moments(graph: SignalGraph, read: Callable[[Parameter], Stored | None]) -> dict[str, WeightMoments]:
    """The statistics of the parameters that prediction reads.

    Args:
        graph: the trace, which states how every parameter is used.
        read: a parameter's values; None where it holds none or they are not wanted.
    """
    stored = {p.path: found for p in graph.parameters if (found := read(p)) is not None}
    known = {path: _statistics(one) for path, one in stored.items()}
    for path, one in stored.items():
        for index in graph.parameter(path).nodes if one.rows is not None else ():
            for use in graph.nodes[index].uses_of("bias"):
                bias = stored[use.parameter].vector if use.parameter in stored else None
                if bias is not None and one.rows is not None and bias.size == one.rows.size:
                    product = float((bias * one.rows).mean())
                    known[use.parameter] = replace(known[use.parameter], row_sum_product=product)
    return known


def _statistics(stored: Stored) -> WeightMoments:
    known = WeightMoments(stored.moments.mean, stored.moments.second_moment)
    if stored.gates is not None:
        return _by_gate(stored.gates)
    if stored.mean_row is not None:
        known = replace(known, table_mean_square=float(np.square(stored.mean_row).mean()))
    if stored.rows is None or stored.sample is None:
        return known
    square, mean = float(np.square(stored.rows).mean()), float(stored.rows.mean())
    columns, rows = (is_opposed(sums) for sums in stored.sums) if stored.sums is not None else (False, False)
    return replace(
        known, row_sum_square=square, row_sum_mean=mean, kurtosis=kurtosis_of(stored.sample), paired_inputs=columns,
        paired_outputs=rows, one_tap=stored.one_tap,
    )  # fmt: skip


def projected(weights: Array, groups: int) -> tuple[Array, Array]:
    """Sums over the outputs of every group, and over what every output reads, each with random factors.

    Args:
        weights: ``(outputs, inputs of a group, taps)``.
        groups: of outputs.
    """
    outputs, flat = weights.shape[0], weights.reshape(weights.shape[0], -1)
    parts = flat.reshape(groups, outputs // groups, -1)
    columns = np.einsum("go,goi->gi", projection(outputs).reshape(groups, -1), parts)
    return columns, flat @ projection(flat.shape[1])


def one_tap(weights: Array) -> bool:
    """Report whether, of several taps, only the middle one is not zero; weights as in ``projected``."""
    taps = np.abs(weights).max((0, 1))
    return len(taps) > 1 and bool(np.count_nonzero(taps) == 1 and taps[len(taps) // 2] > 0)


def is_opposed(sums: Array) -> bool:
    """Report whether numbers form pairs of opposite sign, up to zeros and rounding.

    >>> is_opposed(np.array([0.3, -2.0, 0.0, 2.0, -0.3])), is_opposed(np.array([0.3, -2.0, 1.0]))
    (True, False)
    """
    ordered = np.sort(sums, axis=None)
    largest = float(np.abs(ordered).max(initial=0.0))
    return ordered.size > 1 and largest > 0 and float(np.abs(ordered + ordered[::-1]).max()) <= _OPPOSED * largest


def is_table(graph: SignalGraph, parameter: Parameter) -> bool:
    """Whether rows of the parameter are looked up."""
    return len(parameter.shape) == 2 and any(
        graph.nodes[index].operation is Operation.EMBEDDING for index in parameter.nodes
    )


def _by_gate(gates: Array) -> WeightMoments:
    return WeightMoments(
        float(gates.mean()),
        float(np.square(gates).mean()),
        block_means=tuple(gates.mean(1).tolist()),
        block_variances=tuple(gates.var(1).tolist()),
    )


def kurtosis_of(values: Array) -> float:
    """E w⁴ / (E w²)², which is 3 for normal values, also where all values are zero.

    >>> round(kurtosis_of(np.array([1.0, -1.0])), 6), kurtosis_of(np.zeros(4))
    (1.0, 3.0)
    """
    squares = np.square(values)
    level = float(squares.mean())
    return float(np.square(squares).mean()) / level**2 if level > 0 else 3.0


def sampled_examples(examples: int, size: int) -> int:
    """How many of the examples are enough for the moments of a batch of ``size`` elements; at least two."""
    return examples if size <= SAMPLE or examples <= 2 else max(2, examples * SAMPLE // size)


def require_shape(shape: tuple[int, ...], example: tuple[int, ...]) -> None:
    """Refuse an input's shape with a size that is no positive whole number.

    Args:
        shape: with the batch.
        example: a shape that would do.

    Raises:
        InputError: the shape is empty, or a size is not positive.
    """
    if not shape or any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in shape):
        raise InputError(f"input_shape is the shape of an input with the batch, e.g. {example}; got {shape}.")
