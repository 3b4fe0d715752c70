"""Pairs of units along an axis of a weight: which of them hold opposite values."""

from __future__ import annotations

from dataclasses import dataclass

from gainstage.errors import InputError
from gainstage.graph.kernel import KernelShape

__all__ = ["Mirror", "Pairing"]


@dataclass(frozen=True, slots=True)
class Pairing:
    """The pairs of one axis: sets of units, the first half of each opposite to the second half.

    Args:
        units: of a set; where their number is odd, the last one is left over: it has no pair and is read by zero.
        places: how many neighbouring elements of the axis belong to one unit: a flattened image of 5 × 5 has 25.

    Raises:
        InputError: a set of one unit, which has no pair, or no place.

    """

    units: int
    places: int = 1

    def __post_init__(self) -> None:
        if self.units < 2 or self.places < 1:
            raise InputError(f"Pairs need sets of two units and more, and places; received {self}.")

    def halved(self, length: int) -> int:
        """How many elements of an axis of that length are drawn.

        Raises:
            InputError: the axis does not consist of such sets.

        >>> Pairing(units=6, places=4).halved(48), Pairing(units=7).halved(7)
        (24, 3)
        """
        if length % (self.units * self.places):
            raise InputError(f"An axis of {length} does not consist of sets of {self.units} × {self.places}.")
        return length // self.units * (self.units // 2)


@dataclass(frozen=True, slots=True)
class Mirror:
    """The pairs of a weight: rows are opposite where its outputs are paired, columns where its inputs are.

    Args:
        outputs: the pairs of its output units; None where they are drawn one by one.
        inputs: the pairs of what it reads; each of its units then weights a pair by (v, -v).

    >>> Mirror(inputs=Pairing(8)).half(KernelShape(3, 8))
    KernelShape(out=3, in_=4, receptive=1, groups=1, overlap=None)
    """

    outputs: Pairing | None = None
    inputs: Pairing | None = None

    def half(self, kernel: KernelShape) -> KernelShape:
        """The kernel that is drawn.

        Raises:
            InputError: the kernel's groups do not consist of such sets.
        """
        groups, out, in_ = kernel.groups, kernel.out // kernel.groups, kernel.in_ // kernel.groups
        out = out if self.outputs is None else self.outputs.halved(out)
        in_ = in_ if self.inputs is None else self.inputs.halved(in_)
        return KernelShape(out * groups, in_ * groups, kernel.receptive, groups, kernel.overlap)

    @property
    def read(self) -> float:
        """The share of what a unit reads that is not weighted by zero."""
        return 1.0 if self.inputs is None else self.inputs.units // 2 * 2 / self.inputs.units
