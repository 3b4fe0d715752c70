"""One activation for a chain of elementwise operations, however it is written out.

GPT-2's gelu arrives as products, a cube and a tanh; a squared relu as a relu and a power. The steps are evaluated
together as one function of one variable, and looked up in theory's table by their values. Moments taken step by step
would ignore that the steps depend on each other.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from gainstage.errors import GainstageError
from gainstage.graph import Node, Operation, SignalGraph
from gainstage.theory.activations import Activation, activation, activations

__all__ = ["Functions", "is_scalar"]

Array = NDArray[np.float64]
Signature = tuple[object, ...]

_UNARY: Mapping[str, Callable[[Array], Array]] = {
    "abs": np.abs, "cos": np.cos, "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p,
    "neg": np.negative, "reciprocal": np.reciprocal, "rsqrt": lambda x: 1 / np.sqrt(x), "sin": np.sin, "sqrt": np.sqrt,
    "square": np.square, "tan": np.tan,
}  # fmt: skip
_GRID = np.linspace(-6.0, 6.0, 241) + 0.003
_SAME = 1e-6  # constants in models have seven digits or more


class Functions:
    """The elementwise functions of one graph, each recognised once.

    >>> from gainstage.graph import Node, Operation, SignalGraph
    >>> relu = Node(1, Operation.ACTIVATION, "relu", (0,), (8,), function="relu")
    >>> power = Node(2, Operation.ACTIVATION, "pow", (1,), (8,), function="pow", settings=(("exponent", 2.0),))
    >>> graph = SignalGraph((Node(0, Operation.INPUT, "input", (), (8,)), relu, power), ())
    >>> Functions(graph).of(relu, power).name
    'relu_squared'
    """

    def __init__(self, graph: SignalGraph) -> None:
        self._parts: dict[int, list[Node]] = defaultdict(list)
        for node in graph.nodes:
            if node.part_of is not None:
                self._parts[node.part_of].append(node)
        self._known: dict[Signature, Activation | None] = {}

    def of(self, *chain: Node) -> Activation | None:
        """Return the activation that consecutive nodes compute; None where it cannot be determined.

        Args:
            chain: elementwise nodes in the order of execution.
        """
        key = tuple(self._signature(node) for node in chain)
        if key not in self._known:
            self._known[key] = self._named(chain) or self._recognised(chain)
        return self._known[key]

    def signature(self, *chain: Node) -> Signature:
        """Return a key that is equal for chains that compute the same function."""
        return tuple(self._signature(node) for node in chain)

    def _signature(self, node: Node) -> Signature:
        steps = (
            (part.operation, part.function, part.settings, tuple(i - node.index for i in part.inputs))
            for part in self._parts[node.index]
        )
        return node.operation, node.function, node.settings, tuple(steps)

    def _named(self, chain: tuple[Node, ...]) -> Activation | None:
        """Return the table's activation for a single node with a known name."""
        if len(chain) != 1 or chain[0].operation is not Operation.ACTIVATION or not chain[0].function:
            return None
        try:
            return activation(chain[0].function, dict(chain[0].settings))
        except GainstageError:
            return None

    def _recognised(self, chain: tuple[Node, ...]) -> Activation | None:
        """Evaluate the chain step by step; return the table's activation with the same values, else a custom one."""

        def function(x: Array) -> Array:
            with np.errstate(all="ignore"):
                return reduce(lambda values, node: self._value(node, values), chain, x)

        function.__name__ = " of ".join(_word(node) for node in reversed(chain))
        try:
            values = function(_GRID)
            if not np.isfinite(values).all():
                return None
            return next((known for known in _table() if _same(known, values)), None) or activation(function)
        except (GainstageError, _UnknownStepError):
            return None

    def _value(self, node: Node, x: Array) -> Array:
        """Evaluate one node."""
        parts = self._parts[node.index]
        if node.operation is Operation.ACTIVATION and (parts or node.function == "square"):
            return self._product(node, parts, x)
        return _step(node, [x])

    def _product(self, whole: Node, parts: list[Node], x: Array) -> Array:
        """Evaluate a product of two functions of one variable; its factors are the steps that no other step reads."""
        values: dict[int, Array] = {whole.inputs[0]: x}
        for part in parts:
            if not values.keys() >= set(part.inputs):
                raise _UnknownStepError
            nested = self._parts[part.index]
            values[part.index] = (
                self._product(part, nested, values[part.inputs[0]])
                if nested
                else _step(part, [values[i] for i in part.inputs])
            )
        read = {i for part in parts for i in part.inputs}
        factors = [values[part.index] for part in parts if part.index not in read]
        if len(factors) < 2:
            factors = [x, *(factors or [x])]
        if len(factors) > 2 or (whole.divides and len(parts) > 0 and factors[0] is not x):
            raise _UnknownStepError
        return factors[0] / factors[1] if whole.divides else factors[0] * factors[1]


class _UnknownStepError(Exception):
    """A step cannot be evaluated from what the graph records."""


def is_scalar(node: Node) -> bool:
    """Report whether a scaling or an offset uses one number, the same for all elements."""
    known = not node.uses and "other" in dict(node.settings)
    return known and node.operation in (Operation.SCALE, Operation.OFFSET)


def _step(node: Node, operands: list[Array]) -> Array:
    """Evaluate one elementwise operation."""
    other = node.setting("other", math.nan)
    (first, second), (a, b) = (operands[0], operands[-1]), node.coefficients
    match node.operation:
        case Operation.RESHAPE:
            return first
        case Operation.SCALE if is_scalar(node):
            return first * other
        case Operation.OFFSET if is_scalar(node):
            return a * first + other
        case Operation.ADD if len(operands) <= 2 and not node.setting("blended"):
            return a * first + b * second
        case Operation.MULTIPLY if len(operands) <= 2:
            return first / second if node.divides else first * second
        case Operation.ACTIVATION if node.function == "pow":
            return np.asarray(first ** node.setting("exponent"))
        case Operation.ACTIVATION if node.function == "clamp" and node.settings:
            bounds = dict(node.settings)
            return np.clip(first, bounds.get("min_val", -np.inf), bounds.get("max_val", np.inf))
        case Operation.ACTIVATION if node.function in _UNARY:
            return _UNARY[node.function](first)
        case Operation.ACTIVATION if node.function not in ("composite", "clamp", ""):
            return activation(node.function, dict(node.settings)).function(first)
    raise _UnknownStepError


def _word(node: Node) -> str:
    return node.function or node.name


def _table() -> tuple[Activation, ...]:
    return tuple(activation(name) for name in activations())


def _same(known: Activation, values: Array) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.abs(known.function(_GRID) - values).max() <= _SAME * max(1.0, np.abs(values).max()))
