"""What a model is: operations, their weights, and the questions one can ask of the graph they form."""

from gainstage.graph.derivation import DerivationStep
from gainstage.graph.kernel import KernelShape
from gainstage.graph.operation import Operation, Role
from gainstage.graph.patterns.fusion import fuse
from gainstage.graph.patterns.packed import unpacked
from gainstage.graph.patterns.residual import Residual, residuals, stream_lengths
from gainstage.graph.patterns.sums import terms
from gainstage.graph.roles import assign_roles
from gainstage.graph.signal import Layout, Node, Parameter, SignalGraph, Slot, Stage, Use
from gainstage.graph.walk import (
    ancestors,
    depths,
    fewest_weights,
    nearest_after,
    nearest_before,
    nearest_common_ancestor,
)

__all__ = [
    "DerivationStep", "KernelShape", "Layout", "Node", "Operation", "Parameter", "Residual", "Role", "SignalGraph",
    "Slot", "Stage", "Use", "ancestors", "assign_roles", "depths", "fewest_weights", "fuse", "nearest_after",
    "nearest_before", "nearest_common_ancestor", "residuals", "stream_lengths", "terms", "unpacked",
]  # fmt: skip
