"""One step on the tape with what is known of its operands, and the draft of the node that it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from gainstage.backends.keras.models.geometry import Geometry
from gainstage.backends.keras.tracing import operations as table
from gainstage.backends.keras.tracing.provenance import Value
from gainstage.backends.keras.tracing.tape import Step
from gainstage.graph import DerivationStep, Operation, Slot, Stage, Use

__all__ = ["Call", "Draft", "channel_axis", "drafted", "floating", "signals_of", "uses_of"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A node as ``drafting`` writes it down; ``assemble`` makes the graph's ``Node`` of it.

    Args:
        symbol: id of the symbol that is its output.
        geometries: how the weights that take part are to be read, by path.
        leading: whether examples are the slowest axis of the output.
    """

    operation: Operation
    name: str
    shape: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    function: str = ""
    settings: tuple[tuple[str, float], ...] = ()
    uses: tuple[Use, ...] = ()
    geometry: Geometry | None = None
    geometries: tuple[tuple[str, Geometry], ...] = ()
    index: int = -1
    path: str = ""
    stage: Stage = "model"
    dtype: str = "float32"
    leading: bool = False
    unit_axis: int | None = None
    from_input: bool = True
    symbol: int = 0

    @property
    def uses_bias(self) -> bool:
        """Whether a bias takes part already."""
        return any(use.slot == "bias" for use in self.uses)

    def with_bias(self, path: str, chain: tuple[DerivationStep, ...], symbol: int) -> Draft:
        """The same node with a bias added to its output."""
        return replace(self, uses=(*self.uses, Use(path, "bias", chain)), symbol=symbol)


@dataclass(frozen=True, slots=True)
class Call:
    """One step with what is known of its operands: symbols, weights and constant arrays, but no plain numbers."""

    step: Step
    operands: Sequence[Any]
    values: Sequence[Value]
    output: Any
    paths: Mapping[int, str]

    @property
    def name(self) -> str:
        """The class of the operation."""
        return type(self.step.operation).__name__

    def setting(self, name: str, default: Any = None) -> Any:
        """What the operation was made with."""
        return getattr(self.step.operation, name, default)

    def number(self, position: int) -> float | None:
        """The plain number at a place among the arguments, if there is one."""
        value = self.step.args[position] if position < len(self.step.args) else None
        if isinstance(value, bool) or value is None:
            return None
        try:
            return float(value) if getattr(value, "shape", ()) == () and not _is_operand(value) else None
        except (TypeError, ValueError):
            return None


def _is_operand(value: Any) -> bool:
    return isinstance(value, (keras.KerasTensor, keras.Variable))


def floating(symbol: Any) -> bool:
    """Whether a symbol holds floating-point numbers."""
    return str(symbol.dtype).startswith(("float", "bfloat", "complex"))


def channel_axis(data_format: str | None, rank: int) -> int:
    """The axis of channels."""
    return 1 if (data_format or keras.config.image_data_format()) == "channels_first" else rank - 1


def signals_of(call: Call) -> list[Value]:
    """The operands that carry the signal: discrete ones only where there is no other."""
    signals = [v for v in call.values if v.node is not None and not v.discrete]
    return signals or [v for v in call.values if v.node is not None]


def uses_of(value: Value, slot: Slot) -> tuple[Use, ...]:
    """The weights that a static operand is made of, as what fills a slot."""
    return tuple(Use(path, slot, chain) for path, chain in value.derivations)


def drafted(call: Call, operation: Operation, *, uses: tuple[Use, ...] | None = None, **fields: Any) -> Draft:
    """A draft whose inputs are the signals and whose static operands are its uses."""
    signals = signals_of(call)
    if uses is None:
        uses = tuple(use for v in call.values if v.node is None for use in uses_of(v, "operand"))
    return Draft(
        operation,
        table.base_name(call.step.operation),
        shape=tuple(call.output.shape),
        uses=uses,
        inputs=fields.pop("inputs", tuple(dict.fromkeys(v.node for v in signals if v.node is not None))),
        from_input=any(v.from_input for v in signals),
        **fields,
    )
