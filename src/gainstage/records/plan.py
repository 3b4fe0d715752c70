"""Plan: which parameter gets which values, and why — data, before any write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from gainstage.graph import KernelShape, Layout, Role
from gainstage.records.rendering import Rendered, code_of

__all__ = ["Assignment", "BiasRule", "Plan"]

BiasRule = Literal["keep", "zero", "one", "constant", "centre", "forget_one", "uniform_fan_in", "measured"]
"""What happens to a bias. ``centre`` subtracts what the mean of the incoming activation would add to each unit;
``forget_one`` is zero but for an LSTM's forget gate; ``uniform_fan_in`` is U(±1/√fan_in), PyTorch's own default;
``measured`` holds the values that calibration found."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one parameter gets.

    Args:
        parameter: its path.
        role: what it is for.
        shape: as the framework stores it.
        scheme: a name in the table of schemes, or ``keep``.
        gain: the factor on the scheme's own spread.
        kernel: geometry of one block.
        blocks: equal matrices stacked along the output axis, each with a stream of its own.
        layout: the framework's axis order.
        spread: the standard deviation of the weights that is aimed at; None where it does not apply.
        bias: the rule, where the parameter is a bias.
        value: the constant, the mean of the incoming activation (``centre``), or unused.
        weight: the weight a bias belongs to (``centre`` and ``uniform_fan_in`` need it).
        level: the second moment that the node's output is to have, its bias taken off; None where none is aimed at.
        scale: a factor measured by calibration, applied after drawing.
        values: of a bias, unit by unit, where calibration measured them (``bias="measured"``).
        reason: in words.
    """

    parameter: str
    role: Role
    shape: tuple[int, ...]
    scheme: str
    gain: float = 1.0
    kernel: KernelShape | None = None
    blocks: int = 1
    layout: Layout = "out_in"
    spread: float | None = None
    bias: BiasRule | None = None
    value: float = 0.0
    weight: str | None = None
    level: float | None = None
    scale: float = 1.0
    values: tuple[float, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Plan(Rendered):
    """All assignments, the seed that fixes every byte, and the doubts.

    Args:
        assignments: one for every parameter, in the model's order.
        seed: of all streams.
        scheme: what was asked for, in one word.
        notes: what the reader should know.
        framework: of the model it was made for, ``torch`` or ``keras``; empty where it was made from a graph.
        written: whether it was carried out where it was made; two plans that differ in nothing else are equal.
    """

    assignments: tuple[Assignment, ...]
    seed: int = 0
    scheme: str = ""
    notes: tuple[str, ...] = ()
    framework: str = ""
    written: bool = field(default=False, compare=False)

    def __iter__(self) -> Iterator[Assignment]:
        return iter(self.assignments)

    def __len__(self) -> int:
        return len(self.assignments)

    def to_code(self) -> str:
        """Write the plan as a PyTorch function ``initialize(model, seed)`` that needs no gainstage.

        The function sets the same standard deviations and the same biases; its random numbers are PyTorch's own.

        Raises:
            InputError: the plan is of a Keras model, or holds a scheme that has no such form.
        """
        return code_of(self)
