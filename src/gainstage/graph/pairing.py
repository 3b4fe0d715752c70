"""Pairs of units along an axis of a weight, whose values are opposite."""

from __future__ import annotations

from dataclasses import dataclass

from gainstage.errors import InputError
from gainstage.graph.kernel import KernelShape

__all__ = ["Mirror", "Pairing"]


@dataclass(frozen=True, slots=True)
class Pairing:
    """The pairs along one axis, in sets of units: the first half of each set is opposite to the second half.

    Args:
        units: number of units in a set. With an odd number, the last unit has no pair, and its outgoing weights are 0.
        places: number of adjacent elements of the axis per unit, e.g. 25 for a flattened image of 5 × 5.

    Raises:
        InputError: a set has fewer than two units, or a unit has no elements.

    """

    units: int
    places: int = 1

    def __post_init__(self) -> None:
        if self.units < 2 or self.places < 1:
            raise InputError(f"A pairing requires units ≥ 2 and places ≥ 1; received {self}.")

    def halved(self, length: int) -> int:
        """Return how many elements of an axis of that length are drawn; the others are their negatives.

        Raises:
            InputError: the length is no multiple of the size of a set.

        >>> Pairing(units=6, places=4).halved(48), Pairing(units=7).halved(7)
        (24, 3)
        """
        if length % (self.units * self.places):
            raise InputError(f"Length {length} cannot be divided into sets of {self.units} × {self.places} elements.")
        return length // self.units * (self.units // 2)


@dataclass(frozen=True, slots=True)
class Mirror:
    """The pairs of a weight: its rows are opposite where outputs are paired, its columns where inputs are.

    Args:
        outputs: the pairs of the weight's output units; None where all of them are drawn.
        inputs: the pairs of the weight's input units, each of which has the weights (v, -v); None where all are drawn.

    >>> Mirror(inputs=Pairing(8)).half(KernelShape(3, 8))
    KernelShape(out=3, in_=4, receptive=1, groups=1, overlap=None)
    """

    outputs: Pairing | None = None
    inputs: Pairing | None = None

    def half(self, kernel: KernelShape) -> KernelShape:
        """Return the shape of the part that is drawn.

        Raises:
            InputError: the units of a group cannot be divided into such sets.
        """
        groups, out, in_ = kernel.groups, kernel.out // kernel.groups, kernel.in_ // kernel.groups
        out = out if self.outputs is None else self.outputs.halved(out)
        in_ = in_ if self.inputs is None else self.inputs.halved(in_)
        return KernelShape(out * groups, in_ * groups, kernel.receptive, groups, kernel.overlap)

    @property
    def read(self) -> float:
        """Return the share of a unit's incoming weights that are not fixed at zero."""
        return 1.0 if self.inputs is None else self.inputs.units // 2 * 2 / self.inputs.units
