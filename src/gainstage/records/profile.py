"""Records of a profile: signal and gradient at every operation of one model, measured or predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from gainstage.graph import Node, Parameter, SignalGraph
from gainstage.records.gradient_check import GradientCheck
from gainstage.records.magnitudes import TensorMagnitudes
from gainstage.records.moments import Histogram, Moments, UnitStats
from gainstage.records.overfit import Overfit
from gainstage.records.reactions import Reactions
from gainstage.records.rendering import Rendered
from gainstage.records.task import Task
from gainstage.records.wiring import Wiring

__all__ = ["NodeProfile", "Note", "ParameterProfile", "Profile", "Refold", "Source", "Step"]


@dataclass(frozen=True, slots=True)
class NodeProfile:
    """One node: its output in the forward pass, and the gradient of the loss with respect to that output.

    Args:
        node: index of the node in the graph.
        forward: moments of its output.
        backward: moments of the gradient of the loss with respect to that output; None where it was not measured.
        units: statistics of its single units.
        histogram: the distribution of its output's values, where it was recorded.
        doubt: why the predicted moments are doubtful; empty where they are not, or were measured.
        over_time: of a recurrent layer, the root mean square of its output at the first and at the last position.
        dtype: the number format of its output; empty where it is the one of the profile's source.
    """

    node: int
    forward: Moments
    backward: Moments | None = None
    units: UnitStats | None = None
    histogram: Histogram | None = None
    doubt: str = ""
    over_time: tuple[float, float] | None = None
    dtype: str = ""


@dataclass(frozen=True, slots=True)
class ParameterProfile:
    """One parameter: its values, its gradient and its first update.

    Args:
        path: path of the parameter.
        weight: moments of its values.
        gradient: moments of the gradient of the loss with respect to it; None where the loss does not depend on it.
        copies: number of units (rows of the kernel, with their bias) that repeat another unit.
        constant: whether all values are equal.
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
        """Return ‖gradient‖ / ‖weight‖; None where either is missing or the weight is zero."""
        if self.gradient is None or not self.weight.norm > 0:
            return None
        return self.gradient.norm / self.weight.norm


@dataclass(frozen=True, slots=True)
class Step:
    """The effect of the optimizer's first step on the loss of the same batch.

    The loss along the step is L(s) = L + s·slope + s²·curvature / 2 with s = 1 at the step itself.

    Args:
        slope: gradient · step; negative where the loss decreases.
        curvature: stepᵀ H step.
        loss_after: the loss with the weights after the step.
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
        """Return the multiple of this step beyond which the loss increases; None without positive curvature."""
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
    """A remark about the measurement itself (GS9xx)."""

    code: str
    message: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of a profile's numbers.

    Args:
        kind: measured on tensors or predicted by theory.
        framework: name and version of the framework, e.g. ``torch 2.13.0``.
        device: e.g. ``cpu``.
        dtype: number format of the signal.
        batch: shape of the first input.
        seed: random state of the run, if it was set.
        detail: how much was measured.
    """

    kind: Literal["measured", "predicted"]
    framework: str
    device: str = "cpu"
    dtype: str = "float32"
    batch: tuple[int, ...] = ()
    seed: int | None = None
    detail: Literal["lean", "start", "standard", "magnitudes"] = "standard"


@dataclass(frozen=True)
class Profile(Rendered):
    """All moments of one model on one batch, whether measured or predicted.

    Args:
        graph: the model's graph.
        nodes: the measured nodes, in order of execution.
        parameters: every parameter that is used, in the graph's order.
        task: the known facts about inputs, targets, loss and optimizer.
        source: the origin of the numbers.
        step: the effect of the optimizer's first step, where an optimizer was given.
        first_nonfinite: the first operation whose output has a NaN or an infinity although its inputs have none.
        backward: whether a backward pass was run.
        notes: remarks about the measurement.
        reactions: outputs of a few examples with other examples in the batch and other random numbers, where measured.
        wiring: which tensors are used, registered, and held by the optimizer, where measured.
        refolds: reshapes of the signal that mix its axes.
        hidden: paths of weights inside of operations that could not be looked into.
        magnitudes: distributions of absolute values, where they were asked for.
        overfit: short trainings on this batch, where they were asked for.
        trained: what the caller says about the network: a reason why it counts as trained, empty for a start, or None
            where the evidence decides.
        gradient_checks: slopes of the loss against finite differences, where they were asked for.
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
    magnitudes: tuple[TensorMagnitudes, ...] = ()
    overfit: Overfit | None = None
    trained: str | None = None
    gradient_checks: tuple[GradientCheck, ...] | None = None

    @cached_property
    def by_node(self) -> Mapping[int, NodeProfile]:
        """Map the index of every measured node to its profile."""
        return MappingProxyType({n.node: n for n in self.nodes})

    @cached_property
    def by_path(self) -> Mapping[str, ParameterProfile]:
        """Map the path of every parameter to its profile."""
        return MappingProxyType({p.path: p for p in self.parameters})

    def node(self, measured: NodeProfile) -> Node:
        """Return the graph's node for a measured node."""
        return self.graph.nodes[measured.node]

    def dtype(self, measured: NodeProfile) -> str:
        """Return the number format in which a measured node's output was computed."""
        return measured.dtype or self.source.dtype

    def parameter(self, measured: ParameterProfile) -> Parameter:
        """Return the graph's parameter for a measured parameter."""
        return self.graph.by_path[measured.path]
