"""Which nodes a profile holds, and which unit statistics belong to which activation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, get_args

from gainstage.backends.protocol import Detail
from gainstage.errors import InputError
from gainstage.graph import Operation
from gainstage.graph.groups import WEIGHTED
from gainstage.records import Note

__all__ = [
    "ALWAYS", "ARITHMETIC", "MASKING", "NO_GRADIENT", "STANDARD", "STREAM", "Measurable",
    "bounds_of", "is_rectified", "require_detail", "require_finite", "selected",
]  # fmt: skip

ALWAYS = WEIGHTED | {Operation.ACTIVATION}
"""Measured at every level of detail."""

STANDARD = ALWAYS | {Operation.NORMALIZATION, Operation.ADD, Operation.ATTENTION, Operation.SOFTMAX}
"""Measured unless the detail is lean."""

STREAM = frozenset({Operation.NORMALIZATION, Operation.ADD, Operation.ATTENTION})
"""Operations whose output may be a stream of tokens, ``(batch, positions, units)``."""

MASKING = frozenset({Operation.MASK, Operation.OFFSET})
"""Operations that write −inf at what attention must not see."""

ARITHMETIC = frozenset({"pow", "rsqrt", "sqrt", "reciprocal", "clamp", "abs", "log", "square"})
"""Elementwise functions that are steps of a formula rather than activations."""

NO_GRADIENT = Note("GS901", "No gradient reaches the loss, so that nothing about gradients could be judged.")

_RECTIFIERS = frozenset({"relu", "relu6", "threshold", "hardshrink", "softshrink"})
_BOUNDS = {"sigmoid": (0.0, 1.0), "hardsigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "erf": (-1.0, 1.0)}


class Measurable(Protocol):
    """The attributes that a node and its draft have in common."""

    @property
    def operation(self) -> Operation:
        """The kind of operation."""
        ...

    @property
    def function(self) -> str:
        """The activation's name, where the node is one."""
        ...

    @property
    def settings(self) -> tuple[tuple[str, float], ...]:
        """Numbers that the operation was called with."""
        ...


def require_detail(detail: str) -> None:
    """Refuse a level of detail that does not exist.

    Raises:
        InputError: it is none of ``lean``, ``start``, ``standard`` and ``magnitudes``.
    """
    if detail not in get_args(Detail):
        raise InputError(f"Unknown detail {detail!r}. Choose 'lean', 'standard' or 'magnitudes'.")


def require_finite(inputs: Iterable[tuple[str, tuple[int, ...], bool | tuple[int, ...] | None]]) -> None:
    """Refuse inputs with NaN or infinite values.

    Args:
        inputs: name, shape, and whether all values are finite, or the index of the first that is not.

    Raises:
        InputError: an input is not finite.
    """
    for name, shape, state in inputs:
        if state is None or state is True:
            continue
        first = f", first at index {state}" if isinstance(state, tuple) else ""
        raise InputError(f"Input {name!r} of shape {shape} holds NaN or infinite values{first}. Clean the batch.")


def selected(node: Measurable, detail: Detail) -> bool:
    """Whether a profile of this detail holds the node."""
    return node.operation in (ALWAYS if detail == "lean" else STANDARD) and node.function not in ARITHMETIC


def is_rectified(node: Measurable) -> bool:
    """Whether exact zeros at the output mean that a unit is off."""
    return node.function in _RECTIFIERS


def bounds_of(node: Measurable) -> tuple[float, float] | None:
    """The range of a bounded activation, whose ends are saturation; None for every other node."""
    if node.function == "hardtanh":
        settings = dict(node.settings)
        return settings.get("min_val", -1.0), settings.get("max_val", 1.0)
    return _BOUNDS.get(node.function)
