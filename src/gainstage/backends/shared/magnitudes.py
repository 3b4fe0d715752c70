"""Collects the distributions of magnitudes of one pass, where they were asked for."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from gainstage.backends.protocol import Detail
from gainstage.graph import SignalGraph
from gainstage.records import Magnitudes, TensorKind, TensorMagnitudes
from gainstage.statistics import magnitudes_of, relative_to_binade

__all__ = ["MagnitudeLog"]

_KINDS: tuple[TensorKind, ...] = ("output", "gradient", "weight", "weight_gradient", "step")


class MagnitudeLog:
    """The distributions of magnitudes of one pass.

    Args:
        measure: reads the distribution of a framework's tensor.
        as_array: makes a NumPy array of one.
        detail: of the measurement; nothing is collected below ``magnitudes``.
    """

    def __init__(self, measure: Callable[[Any], Magnitudes], as_array: Callable[[Any], Any], detail: Detail) -> None:
        self.wanted = detail == "magnitudes"
        self._measure, self._as_array = measure, as_array
        self._found: dict[tuple[TensorKind, int | str], tuple[Magnitudes, str]] = {}

    def add(self, kind: TensorKind, key: int | str, values: Any, dtype: str = "") -> None:
        """Measure one tensor.

        Args:
            kind: which tensor it is.
            key: the index of a node, or the path of a parameter.
            values: the tensor.
            dtype: the number format in which it was computed, where that is not the one of ``values``.
        """
        if self.wanted:
            self._found[kind, key] = self._measure(values), dtype or str(values.dtype).removeprefix("torch.")

    def add_step(self, path: str, move: Any, before: Any) -> None:
        """Measure the first update of a parameter against the parameter before it."""
        if self.wanted:
            ratios = relative_to_binade(self._as_array(move), self._as_array(before))
            dtype = str(before.dtype).removeprefix("torch.")
            self._found["step", path] = magnitudes_of(ratios), dtype

    def tensors(self, graph: SignalGraph, nodes: Container[int]) -> tuple[TensorMagnitudes, ...]:
        """All distributions, by kind and in the order of the graph.

        Args:
            graph: of the pass, for the places.
            nodes: the nodes that the profile holds.
        """
        order = {parameter.path: place for place, parameter in enumerate(graph.parameters)}
        found = []
        for (kind, key), (magnitudes, dtype) in self._found.items():
            if isinstance(key, int):
                if key in nodes:
                    node = graph.nodes[key]
                    place = node.path or next((u.parameter for u in node.uses), node.function or node.name)
                    found.append(((kind, key), TensorMagnitudes(kind, place, magnitudes, dtype, key)))
            else:
                found.append(((kind, order.get(key, 0)), TensorMagnitudes(kind, key, magnitudes, dtype)))
        found.sort(key=lambda pair: (_KINDS.index(pair[0][0]), pair[0][1]))
        return tuple(one for _, one in found)
