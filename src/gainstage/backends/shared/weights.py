"""Statistics of single parameters: the bias beside a weight, and units that repeat one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.graph import Parameter, SignalGraph

__all__ = ["bias_beside", "projection", "repeated"]


def bias_beside(graph: SignalGraph, parameter: Parameter, units: int, size_of: Callable[[str], int]) -> str | None:
    """The path of the bias that is added to a weight's output; None where there is none of one number a unit."""
    for index in parameter.nodes:
        for use in graph.nodes[index].uses_of("bias"):
            if size_of(use.parameter) == units:
                return use.parameter
    return None


def projection(size: int) -> NDArray[np.float32]:
    """A fixed random direction, shape ``(size,)``: rows that differ have different products with it."""
    return np.random.default_rng(0).standard_normal(size, dtype=np.float32)


def repeated(products: NDArray[Any], norm: float, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of rows whose products with one direction agree within rounding, as two arrays of row numbers.

    Args:
        products: of every row with ``projection(size)``.
        norm: the largest norm of a row.
        size: of a row. Equal rows can differ in the last bits of the product, which may be summed in another order.
    """
    grain = np.finfo(np.float32).eps * norm * size**0.5 * 4
    order = np.argsort(products)
    with np.errstate(invalid="ignore"):
        close = np.abs(np.diff(products[order])) <= grain
    return order[:-1][close], order[1:][close]
