"""Profile: the signal and the gradient at every stage of one model, measured or predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from gainstage.graph import Node, Parameter, SignalGraph
from gainstage.records.moments import Histogram, Moments, UnitStats
from gainstage.records.reactions import Reactions
from gainstage.records.rendering import Rendered
from gainstage.records.task import Task
from gainstage.records.wiring import Wiring

__all__ = ["NodeProfile", "Note", "ParameterProfile", "Profile", "Refold", "Source", "Step"]


@dataclass(frozen=True, slots=True)
class NodeProfile:
    """One node: its output on the way forward, the loss's gradient by that output on the way back.

    Args:
        node: its index in the graph.
        forward: of its output.
        backward: of the loss's gradient by that output; None where none was measured.
        units: what its single units do.
        histogram: how the values of its output are distributed, where that was recorded.
        doubt: why predicted figures are doubtful; empty where they are not, or were measured.
        over_time: of a recurrent layer, the root mean square of its output at the first and at the last position.
    """

    node: int
    forward: Moments
    backward: Moments | None = None
    units: UnitStats | None = None
    histogram: Histogram | None = None
    doubt: str = ""
    over_time: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class ParameterProfile:
    """One parameter.

    Args:
        path: its name.
        weight: moments of its values.
        gradient: moments of the loss's gradient by it; None where the loss does not reach it.
        copies: units (rows of the kernel, with their bias) that repeat another one.
        constant: whether all its values are equal.
        unit_spread: (smallest, largest) root mean square of a unit's incoming weights.
        update: norm of the optimizer's first step over the norm of the weight, where an optimizer was given.
    """

    path: str
    weight: Moments
    gradient: Moments | None = None
    copies: int = 0
    constant: bool = False
    unit_spread: tuple[float, float] | None = None
    update: float | None = None

    @property
    def relative_gradient(self) -> float | None:
        """‖gradient‖ / ‖weight‖; None where either is missing or the weight is zero."""
        if self.gradient is None or not self.weight.norm > 0:
            return None
        return self.gradient.norm / self.weight.norm


@dataclass(frozen=True, slots=True)
class Step:
    """What the optimizer's first step would do to the loss on this same batch.

    The loss along the step is L(s) = L + s·slope + s²·curvature / 2 with s = 1 at the step itself.

    Args:
        slope: gradient · step; negative downhill.
        curvature: stepᵀ H step.
        loss_after: the loss at the stepped weights.
        climbs: cosine between the step and the gradient: -1 for plain descent. None where the optimizer had a state
            before the step, or where it was not measured.
        shrinks: cosine between the step of all matrices and minus those matrices: 1 where weight decay is all there is.
            None where it was not measured.
        share: norm of that step over the norm of the matrices.
    """

    slope: float
    curvature: float
    loss_after: float
    climbs: float | None = None
    shrinks: float | None = None
    share: float | None = None

    @property
    def stable_factor(self) -> float | None:
        """The multiple of this step beyond which the loss rises; None where the curvature is not positive."""
        return -2 * self.slope / self.curvature if self.curvature > 0 and self.slope < 0 else None


@dataclass(frozen=True, slots=True)
class Refold:
    """A reshape whose axes do not follow from merging or splitting the axes that were there.

    Args:
        node: whose output was reshaped.
        before, after: shapes.
    """

    node: int
    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Something about the measurement itself that a reader should know (GS9xx)."""

    code: str
    message: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the figures came from.

    Args:
        kind: measured on tensors or predicted by theory.
        framework: e.g. ``torch 2.13.0``.
        device: e.g. ``cpu``.
        dtype: of the signal.
        batch: shape of the first input.
        seed: random state the run was given, if any.
        detail: how much was measured.
    """

    kind: Literal["measured", "predicted"]
    framework: str
    device: str = "cpu"
    dtype: str = "float32"
    batch: tuple[int, ...] = ()
    seed: int | None = None
    detail: Literal["lean", "standard"] = "standard"


@dataclass(frozen=True)
class Profile(Rendered):
    """The whole measurement; one type, whether measured or predicted.

    Args:
        graph: the model it is about.
        nodes: the nodes that were measured, in order of execution.
        parameters: every parameter that takes part, in the graph's order.
        task: what is known of input, target, loss, optimizer.
        source: where the figures came from.
        step: the effect of the optimizer's first step, where an optimizer was given.
        first_nonfinite: the first operation whose output has a NaN or an infinity that its inputs had not.
        backward: whether a backward pass was made.
        notes: doubts about the measurement.
        reactions: outputs of a few examples with other neighbours and other random numbers, where that was measured.
        wiring: which tensors take part, are registered, and are held by the optimizer, where that was measured.
        refolds: reshapes of the signal that mix its axes.
        hidden: paths of weights inside of operations that could not be looked into.
    """

    graph: SignalGraph
    nodes: tuple[NodeProfile, ...]
    parameters: tuple[ParameterProfile, ...]
    task: Task
    source: Source
    step: Step | None = None
    first_nonfinite: int | None = None
    backward: bool = True
    notes: tuple[Note, ...] = field(default=())
    reactions: Reactions | None = None
    wiring: Wiring | None = None
    refolds: tuple[Refold, ...] = ()
    hidden: tuple[str, ...] = ()

    @cached_property
    def by_node(self) -> Mapping[int, NodeProfile]:
        """Measured nodes by index."""
        return MappingProxyType({n.node: n for n in self.nodes})

    @cached_property
    def by_path(self) -> Mapping[str, ParameterProfile]:
        """Parameters by path."""
        return MappingProxyType({p.path: p for p in self.parameters})

    def node(self, measured: NodeProfile) -> Node:
        """The graph's node behind a measured one."""
        return self.graph.nodes[measured.node]

    def parameter(self, measured: ParameterProfile) -> Parameter:
        """The graph's parameter behind a measured one."""
        return self.graph.by_path[measured.path]
