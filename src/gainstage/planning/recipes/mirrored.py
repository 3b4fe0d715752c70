"""Mirrored pairs: plain networks that start linear, at any depth, and have their own code."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace

from gainstage.errors import InputError
from gainstage.graph import Parameter, SignalGraph
from gainstage.planning.automatic import Automatic, Halves
from gainstage.planning.mirroring import every_link
from gainstage.records import Assignment

__all__ = ["MirroredPairs", "mirrored"]


@dataclass(frozen=True, slots=True)
class MirroredPairs:
    """The automatic recipe with every unit in a mirrored pair that can be.

    Args:
        automatic: with the pairs.
    """

    automatic: Automatic

    @property
    def claims(self) -> frozenset[str]:
        """Return the parameters that the automatic recipe claims."""
        return self.automatic.claims

    @property
    def notes(self) -> tuple[str, ...]:
        """Return the notes of the automatic recipe."""
        return self.automatic.notes

    def assign(self, parameter: Parameter, gain: float = 1.0) -> Assignment:
        """Assign one parameter; the reason of a weight that cannot be mirrored is part of the assignment."""
        found = self.automatic.assign(parameter, gain)
        fault = self.automatic.mirroring.faults.get(parameter.path)
        return found if fault is None else replace(found, reason=f"{found.reason}; not in pairs: {fault}")


def mirrored(graph: SignalGraph, settable: Container[str], *, halves: Halves) -> MirroredPairs:
    """Units in opposite pairs, "looks-linear" for relu (Balduzzi et al., arXiv:1702.08591, sec. 4; Burkholz and
    Dubatovka, arXiv:1806.06362), wherever the graph allows it; the rest as the automatic recipe has it.

    Args:
        graph: the model.
        settable: paths of the parameters that the recipe decides.
        halves: what draws the halves.

    Raises:
        InputError: no unit of the model can be paired.
    """
    mirroring = every_link(graph, settable)
    if not mirroring.links:
        told = "; ".join(f"'{path}': {fault}" for path, fault in list(mirroring.faults.items())[:3])
        raise InputError(
            f"No units of this model can stand in mirrored pairs ({told or 'it has no hidden units'}). Use 'auto'."
        )
    return MirroredPairs(Automatic.with_pairs(graph, settable, mirroring, halves=halves))
