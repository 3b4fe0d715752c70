"""What is known of every symbol while the tape is read: which node made it, or from which weights it derives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gainstage.graph import DerivationStep

__all__ = ["STATIC", "Derivation", "Value", "join"]

Derivation = tuple[str, tuple[DerivationStep, ...]]
"""A weight's path, and the steps that led from it to the symbol."""


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of one symbol.

    Args:
        node: the node it is the output of; None when it does not depend on the input and no node made it.
        derivations: the weights it is made from, when it is not a signal.
        discrete: it depends on the input, but no gradient can pass (indices, masks).
        from_input: it depends on the model's input.
        leading: examples are its slowest axis, whatever was merged with them.
        unit_axis: the axis that runs over units (features, channels).
        ordered: whether no transposition has come since the weight that made it.
    """

    node: int | None = None
    derivations: tuple[Derivation, ...] = ()
    discrete: bool = False
    from_input: bool = False
    leading: bool = False
    unit_axis: int | None = None
    ordered: bool = True


STATIC = Value()


def join(values: Iterable[Value], step: DerivationStep) -> tuple[Derivation, ...]:
    """The derivations of a symbol computed from ``values``, with one more step."""
    merged: dict[str, Derivation] = {}
    for value in values:
        for parameter, chain in value.derivations:
            merged.setdefault(parameter, (parameter, (*chain, step)))
    return tuple(merged.values())
