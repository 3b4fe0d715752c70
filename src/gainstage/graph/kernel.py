"""KernelShape is the one weight layout of gainstage."""

from __future__ import annotations

from dataclasses import dataclass

from gainstage.errors import InputError

__all__ = ["KernelShape"]


@dataclass(frozen=True, slots=True)
class KernelShape:
    """The shape of a weight, seen as a linear map applied at ``receptive`` positions.

    The array has the axes ``(out, in_ / groups, receptive)``. Backends translate their own layouts to and from this
    one; nothing else transposes.

    Args:
        out: output channels, over all groups.
        in_: input channels, over all groups.
        receptive: taps of a convolution (1 for a matrix).
        groups: independent groups of channels.
        overlap: how many taps reach one output element, when that differs from ``receptive``. A transposed convolution
            with stride s spreads its k taps over s positions, so one output element sums only k / s of them.

    Raises:
        InputError: a size is not positive, or the groups do not divide the channels.

    >>> KernelShape(64, 32, 9).fan_in
    288.0
    >>> KernelShape(256, 64, 16, overlap=4).fan_in      # a 4 x 4 transposed convolution with stride 2
    256.0
    """

    out: int
    in_: int
    receptive: int = 1
    groups: int = 1
    overlap: float | None = None

    def __post_init__(self) -> None:
        if min(self.out, self.in_, self.receptive, self.groups) < 1:
            raise InputError(f"A kernel needs positive sizes; received {self}.")
        if self.out % self.groups or self.in_ % self.groups:
            raise InputError(f"{self.groups} groups do not divide {self.out} outputs and {self.in_} inputs.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of the array: ``(out, in_ per group, receptive)``."""
        return self.out, self.in_ // self.groups, self.receptive

    @property
    def size(self) -> int:
        """Return the number of weights."""
        return self.out * (self.in_ // self.groups) * self.receptive

    @property
    def fan_in(self) -> float:
        """Return how many terms are summed in one output element."""
        return (self.in_ / self.groups) * (self.receptive if self.overlap is None else self.overlap)

    @property
    def fan_out(self) -> float:
        """Return how many output elements one input element reaches: the fan-in of the backward pass."""
        return (self.out / self.groups) * self.receptive

    @property
    def fan_avg(self) -> float:
        """Return the mean of fan-in and fan-out (Glorot and Bengio 2010, eq. 16)."""
        return (self.fan_in + self.fan_out) / 2
