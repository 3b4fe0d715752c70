"""A plan assigns values to every parameter, with reasons, as data and before any write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from gainstage.graph import KernelShape, Layout, Mirror, Role
from gainstage.records.rendering import Rendered, code_of

__all__ = ["Assignment", "BiasRule", "Plan"]

BiasRule = Literal["keep", "zero", "one", "constant", "centre", "forget_one", "uniform_fan_in", "measured"]
"""The rule for a bias.

``centre`` subtracts what the mean of the incoming activation would add to each unit; ``forget_one`` is zero except for
an LSTM's forget gate; ``uniform_fan_in`` is U(±1/√fan_in), PyTorch's own default; ``measured`` holds the values that
calibration measured.
"""


@dataclass(frozen=True, slots=True)
class Assignment:
    """The values that one parameter gets, and the reason.

    Args:
        parameter: path of the parameter.
        role: the parameter's role in the graph.
        shape: as the framework stores it.
        scheme: a name in the table of schemes, or ``keep``.
        gain: the factor on the scheme's own standard deviation.
        kernel: the shape of one block.
        blocks: number of equal matrices stacked along the output axis, each with a stream of its own.
        layout: the framework's axis order.
        spread: the intended standard deviation over weights; None where it does not apply.
        bias: the rule for the values, where the parameter is a bias.
        value: the constant, or the mean of the incoming activation (``centre``); otherwise unused.
        weight: path of the weight that a bias belongs to (required by ``centre`` and ``uniform_fan_in``).
        level: the intended second moment of the node's output without its bias; None where none is intended.
        scale: a factor that calibration measured, applied after drawing.
        values: the values of a bias, unit by unit, where calibration measured them (``bias="measured"``).
        mirror: which rows and columns of the weight are opposite; None where they are drawn one by one.
        reason: a sentence that explains the choice.
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
    mirror: Mirror | None = None
    reason: str = ""


@dataclass(frozen=True)
class Plan(Rendered):
    """All assignments of one model, the seed that determines every byte, and notes.

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
            InputError: the plan is for a Keras model, or holds a scheme that PyTorch code cannot express.
        """
        return code_of(self)
