"""One ATen call with what is known of its tensors, and the draft of a node that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gainstage.backends.torch.tracing.provenance import Value, dense
from gainstage.graph import KernelShape, Layout, Operation, Slot, Stage, Use

__all__ = ["Call", "Draft", "draft_of", "signals_of", "uses_of"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A node as the interpreter writes it down; ``assemble`` makes the graph's ``Node`` of it."""

    operation: Operation
    name: str
    shape: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    function: str = ""
    settings: tuple[tuple[str, float], ...] = ()
    uses: tuple[Use, ...] = ()
    kernel: KernelShape | None = None
    layout: Layout = "out_in"
    index: int = -1
    path: str = ""
    stage: Stage = "model"
    dtype: str = "float32"
    example_stride: int | None = None
    unit_axis: int | None = None
    from_input: bool = True
    part: int = 0
    recurrent: nn.Module | None = None
    operands: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One ATen call with what is known of its tensors."""

    func: Any
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tensors: Sequence[torch.Tensor]
    values: Sequence[Value]
    output: torch.Tensor

    def pairs(self) -> list[tuple[torch.Tensor, Value]]:
        """Every tensor with what is known of it."""
        return list(zip(self.tensors, self.values, strict=True))

    def of(self, argument: torch.Tensor) -> Value:
        """What is known of one of the arguments."""
        tensor = dense(argument)
        return next(value for known, value in self.pairs() if known is tensor)

    def argument(self, name: str, default: Any = None) -> Any:
        """The argument of that name in the operation's schema."""
        for position, formal in enumerate(self.func._schema.arguments):
            if formal.name == name:
                return self.args[position] if position < len(self.args) else self.kwargs.get(name, default)
        return default

    def number(self, name: str, default: float) -> float:
        """The argument of that name where it is a number."""
        value = self.argument(name, default)
        return float(value) if isinstance(value, (int, float)) else default


def signals_of(call: Call) -> list[Value]:
    """The operands that carry the signal: discrete ones only where there is no other."""
    signals = [v for v in call.values if v.node is not None and not v.discrete]
    return signals or [v for v in call.values if v.node is not None]


def uses_of(value: Value, slot: Slot) -> tuple[Use, ...]:
    """The parameters that a static operand is made from, each in the same slot."""
    return tuple(Use(d.parameter, slot, d.chain) for d in value.derivations)


def draft_of(call: Call, operation: Operation, *, uses: tuple[Use, ...] | None = None, **fields: Any) -> Draft:
    """A draft whose inputs are the signals and whose static operands are its uses."""
    signals = signals_of(call)
    if uses is None:
        uses = tuple(use for v in call.values if v.node is None for use in uses_of(v, "operand"))
    return Draft(
        operation,
        call.name,
        shape=tuple(call.output.shape),
        uses=uses,
        inputs=tuple(dict.fromkeys(v.node for v in signals if v.node is not None)),
        from_input=any(v.from_input for v in signals),
        **fields,
    )
