"""A model as a graph: its operations, their weights, and what follows from how they are connected."""

from gainstage.graph.ancestry import Ancestry, ancestry
from gainstage.graph.derivation import DerivationStep
from gainstage.graph.facts import once_per_graph
from gainstage.graph.kernel import KernelShape
from gainstage.graph.operation import Operation, Role
from gainstage.graph.pairing import Mirror, Pairing
from gainstage.graph.patterns.fusion import fuse
from gainstage.graph.patterns.packed import unpacked
from gainstage.graph.patterns.residual import Residual, residuals, stream_lengths
from gainstage.graph.patterns.sums import terms
from gainstage.graph.roles import assign_roles
from gainstage.graph.signal import Layout, Node, Parameter, SignalGraph, Slot, Stage, Use
from gainstage.graph.walk import FewestWeights, all_after, any_after, any_before, depths, nearest_after, nearest_before

__all__ = [
    "Ancestry", "DerivationStep", "FewestWeights", "KernelShape", "Layout", "Mirror", "Node", "Operation", "Pairing",
    "Parameter", "Residual", "Role", "SignalGraph", "Slot", "Stage", "Use", "all_after", "ancestry", "any_after",
    "any_before", "assign_roles", "depths", "fuse", "nearest_after", "nearest_before", "once_per_graph", "residuals",
    "stream_lengths", "terms", "unpacked",
]  # fmt: skip
