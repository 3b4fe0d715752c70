"""Symbols that stand in for weights while a model is traced.

Keras runs an operation symbolically as soon as one operand is symbolic, and at once otherwise: what a layer computes
from its weights alone (a transposed table, a normalised kernel) would become an array of unknown origin. With a symbol
in the place of every weight such operations are seen like all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from gainstage.backends.keras.models.names import attributes, named_layers, parameters_below

__all__ = ["Standins"]


class Standins:
    """The symbols of one model's weights, and where they were put."""

    def __init__(self, model: Any) -> None:
        self.variables: dict[int, Any] = {}
        """The weight behind every symbol, by the symbol's id."""
        self._symbols: dict[int, Any] = {}
        self._held: list[tuple[Any, dict[str, Any]]] = []
        weights = {id(v) for v in parameters_below(model)}
        for layer in {id(inner): inner for _, inner in named_layers(model)}.values():
            taken = {k: v for k, v in attributes(layer).items() if _holds(v, weights)}
            self._held.append((layer, {k: (v, self._replaced(v, layer, weights)) for k, v in taken.items()}))

    def _replaced(self, value: Any, layer: Any, weights: set[int]) -> Any:
        if isinstance(value, keras.Variable) and id(value) in weights:
            return self._symbol(value, layer)
        return [self._replaced(item, layer, weights) for item in value] if isinstance(value, (list, tuple)) else value

    def _symbol(self, variable: Any, layer: Any) -> Any:
        if id(variable) not in self._symbols:
            dtype = layer.compute_dtype if variable.dtype.startswith(("float", "bfloat")) else variable.dtype
            symbol = keras.KerasTensor(tuple(variable.shape), dtype, name=variable.name)
            self._symbols[id(variable)] = symbol
            self.variables[id(symbol)] = variable
        return self._symbols[id(variable)]

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Put every symbol in its weight's place, and the weights back on leaving."""
        for layer, taken in self._held:
            layer.__dict__.update({k: symbol for k, (_, symbol) in taken.items()})
        try:
            yield
        finally:
            for layer, taken in self._held:
                layer.__dict__.update({k: original for k, (original, _) in taken.items()})

    @contextmanager
    def withdrawn(self, layer: Any, *, below: bool) -> Iterator[None]:
        """The weights themselves for one layer (and those in it), whose code cannot work with symbols."""
        inside = {id(inner) for _, inner in named_layers(layer)} if below else {id(layer)}
        concerned = [(held, taken) for held, taken in self._held if id(held) in inside]
        before = [(held, {k: held.__dict__[k] for k in taken}) for held, taken in concerned]
        for held, taken in concerned:
            held.__dict__.update({k: original for k, (original, _) in taken.items()})
        try:
            yield
        finally:
            for held, values in before:
                held.__dict__.update(values)


def _holds(value: Any, weights: set[int]) -> bool:
    if isinstance(value, keras.Variable):
        return id(value) in weights
    return isinstance(value, (list, tuple)) and any(_holds(item, weights) for item in value)
