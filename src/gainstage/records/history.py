"""Records of a training while it runs: numbers of every step, looks at every layer, findings with their step."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from gainstage.records.diagnosis import Diagnosis, Finding, Severity, Unjudged
from gainstage.records.rendering import Rendered

__all__ = ["Alert", "History", "LayerReading", "Look", "NonFinite", "StepReading", "WatchedParameter"]


@dataclass(frozen=True, slots=True)
class WatchedParameter:
    """A parameter whose gradient, size and update are followed.

    Args:
        path: its path in the model.
        count: number of elements.
        kernel: whether it has two axes or more; biases and scales have one.
        held: whether an optimizer of the watch holds it.
    """

    path: str
    count: int
    kernel: bool = True
    held: bool = True


@dataclass(frozen=True, slots=True)
class StepReading:
    """The numbers of one step of the optimizer.

    Args:
        step: number of the step, counted from 1.
        loss: the scalar that was differentiated, summed over the micro-batches and without the loss scale.
        gradient: norm of its gradient over all parameters, before clipping and without the loss scale.
        kept: norm of the gradient that the optimizer used over ``gradient``: 1 where clipping was called and changed
            nothing; None where nothing touched the gradient.
        weight: norm of all parameters before the step, from a fixed sample of their elements.
        update: norm of the change of the parameters over ``weight``, from the same sample.
        slope: gradient · update, from the sample: the change of the loss to first order.
        ahead: gradient of the next step · update: positive where this step went past the minimum along its direction.
        rate: the largest learning rate of the optimizer.
        scale: the loss scale, where there is one.
        inputs: root mean square of the first input of the model.
        stepped: whether the optimizer took the step; False where the loss scale made it overflow.
        carried: whether gradients of the step before were still in place when this one's were added.
        training: whether the model was in training mode.
        batches: number of backward passes that the step adds up.
    """

    step: int
    loss: float | None = None
    gradient: float | None = None
    kept: float | None = None
    weight: float | None = None
    update: float | None = None
    slope: float | None = None
    ahead: float | None = None
    rate: float | None = None
    scale: float | None = None
    inputs: float | None = None
    stepped: bool = True
    carried: bool = False
    training: bool = True
    batches: int = 1


@dataclass(frozen=True, slots=True)
class LayerReading:
    """The output of one layer at one look.

    Args:
        path: its module, weight or function.
        function: name of the activation, where the layer is one.
        level: root of the second moment of its output.
        spread: standard deviation across examples, root mean square over units and positions.
        gradient: norm of the gradient of the loss by its output, without the loss scale.
        units: number of its units.
        dead: share of its units that are zero for every example, of a rectifier.
        stuck: share of its units that are saturated for every example, of a bounded activation.
        saturated: share of its elements within one per cent of the range from a bound, of a bounded activation.
        sharpness: sum of the squared attention weights of a query, averaged: 1 where each query looks at one key.
        keys: number of keys, of attention weights.
    """

    path: str
    function: str = ""
    level: float = 0.0
    spread: float | None = None
    gradient: float | None = None
    units: int = 0
    dead: float | None = None
    stuck: float | None = None
    saturated: float | None = None
    sharpness: float | None = None
    keys: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """One look at every layer, before the step of that number.

    Args:
        step: number of the step, counted from 1.
        examples: number of examples in the batch of the look.
        layers: in order of execution; the same layers at every look.
        gradients: norms of the gradients by the parameters, in the order of ``History.parameters``.
        weights: norms of the parameters.
        updates: norm of the last update over the norm of the parameter, from a sample.
    """

    step: int
    examples: int
    layers: tuple[LayerReading, ...] = ()
    gradients: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    updates: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class NonFinite:
    """The origin of a value that is NaN or infinite.

    Args:
        step: number of the step.
        place: the first operation with such a value, or the parameter, or the input.
        kind: where it arose.
        operation: what is computed there.
    """

    step: int
    place: str
    kind: str = "forward"  # input, parameter, forward, loss, backward
    operation: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """A finding with the steps at which it was raised and, where it has ended, cleared.

    Args:
        finding: what was found.
        step: number of the step at which it was raised.
        cleared: number of the step at which it no longer held; None where it still does.
    """

    finding: Finding
    step: int
    cleared: int | None = None


@dataclass(frozen=True)
class History(Rendered):
    """Everything that was seen of one training.

    Args:
        model: class of the model.
        optimizer: class of the optimizer, with the factors of its memory.
        parameters: the trainable parameters, in the model's order.
        steps: one reading for every step.
        looks: the looks at every layer; the first one is before any step.
        alerts: findings in the order in which they were raised.
        start: the check of the first batch before the first step, where it was made.
        unjudged: rules that lacked what they need, with what they lacked.
        notes: what could not be seen, and how values were obtained.
        every: number of steps between looks.
        finished: whether the watch was closed; a run that was killed leaves it open.
    """

    model: str = ""
    optimizer: str = ""
    parameters: tuple[WatchedParameter, ...] = ()
    steps: tuple[StepReading, ...] = ()
    looks: tuple[Look, ...] = ()
    alerts: tuple[Alert, ...] = ()
    start: Diagnosis | None = None
    unjudged: tuple[Unjudged, ...] = ()
    notes: tuple[str, ...] = field(default=())
    every: int = 50
    finished: bool = False

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Return the findings, the most severe first and, of one severity, the earliest first."""
        ordered = sorted(self.alerts, key=lambda alert: (alert.finding.severity.rank, alert.step))
        return tuple(alert.finding for alert in ordered)

    @property
    def ok(self) -> bool:
        """Report whether no error and no warning was raised, neither while training nor at the start."""
        started = self.start is None or not any(f.severity is not Severity.NOTE for f in self.start.findings)
        return started and all(f.severity is Severity.NOTE for f in self.findings)

    @property
    def judged(self) -> bool:
        """Report whether at least one step was seen."""
        return bool(self.steps)
