"""What prediction needs of a model's weights and inputs, from what a backend reads of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import InputError
from gainstage.graph import Operation, Parameter, SignalGraph
from gainstage.records import Moments, WeightMoments

__all__ = ["SAMPLE", "StoredWeights", "kurtosis_of", "require_shape", "sampled_examples", "weight_moments"]

SAMPLE = 4_000_000
"""Elements that are enough for moments."""

Array = NDArray[Any]


class StoredWeights(Protocol):
    """Reads the values that parameters hold; all results are in double precision."""

    def moments(self, path: str) -> Moments:
        """Moments over all elements."""
        ...

    def row_sums(self, parameter: Parameter) -> Array | None:
        """The sum of every unit's incoming weights, shape ``(units,)``; None where the weight has no such rows."""
        ...

    def kurtosis(self, path: str) -> float:
        """E w⁴ / (E w²)²."""
        ...

    def mean_row_square(self, path: str) -> float:
        """The mean square of the mean row of a table."""
        ...

    def gates(self, graph: SignalGraph, parameter: Parameter) -> Array | None:
        """What a recurrent layer's bias adds in every gate, ``(gates, units)``; None for every other parameter."""
        ...

    def vector(self, path: str) -> Array | None:
        """All elements in one row; None where the parameter holds no floating-point values."""
        ...


def weight_moments(graph: SignalGraph, paths: Iterable[str], stored: StoredWeights) -> dict[str, WeightMoments]:
    """The statistics of the parameters that prediction reads.

    Args:
        graph: the trace, which states how every parameter is used.
        paths: parameters that hold floating-point values and are wanted.
        stored: reads their values.
    """
    wanted = frozenset(paths)
    sums: dict[str, Array] = {}
    found: dict[str, WeightMoments] = {}
    for parameter in graph.parameters:
        path = parameter.path
        if path not in wanted:
            continue
        moments = stored.moments(path)
        known = WeightMoments(moments.mean, moments.second_moment)
        rows = stored.row_sums(parameter)
        if rows is not None:
            sums[path] = rows
            known = replace(
                known,
                row_sum_square=float(np.square(rows).mean()),
                row_sum_mean=float(rows.mean()),
                kurtosis=stored.kurtosis(path),
            )
        if len(parameter.shape) == 2 and any(graph.nodes[i].operation is Operation.EMBEDDING for i in parameter.nodes):
            known = replace(known, table_mean_square=stored.mean_row_square(path))
        gates = stored.gates(graph, parameter)
        found[path] = known if gates is None else _by_gate(gates)
    for path, rows in sums.items():
        for index in graph.parameter(path).nodes:
            for use in graph.nodes[index].uses_of("bias"):
                bias = stored.vector(use.parameter)
                if bias is not None and use.parameter in found and bias.size == rows.size:
                    found[use.parameter] = replace(found[use.parameter], row_sum_product=float((bias * rows).mean()))
    return found


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
