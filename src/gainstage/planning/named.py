"""One named scheme over a whole model: every weight gets the scheme, everything else its neutral value."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from gainstage.graph import Parameter, Role, SignalGraph
from gainstage.planning.assign import constant, drawn, neutral, recurrent_weights
from gainstage.planning.context import adapter_ends, bias_owner
from gainstage.planning.embeddings import embedding_spread, is_tied
from gainstage.planning.products import LOGIT_SPREAD
from gainstage.records import Assignment

__all__ = ["Named"]


@dataclass(frozen=True, slots=True)
class Named:
    """The recipe of one named scheme.

    Args:
        graph: the model.
        scheme: a canonical name in the table of schemes.
        adapters: paths of the weights that end an adapter.
    """

    graph: SignalGraph
    scheme: str
    adapters: frozenset[str]

    @classmethod
    def of(cls, graph: SignalGraph, scheme: str) -> Named:
        """Survey a graph."""
        return cls(graph, scheme, adapter_ends(graph))

    @property
    def claims(self) -> frozenset[str]:
        """Nothing: parameters of no common role stay as they are."""
        return frozenset()

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing beyond the lines of the plan."""
        return ()

    def assign(self, parameter: Parameter, gain: float = 1.0) -> Assignment:
        """What the scheme means for one parameter that may be changed; ``gain`` multiplies a weight's spread."""
        own = _FRAMEWORK_RULES.get(self.scheme)
        special = own(self.graph, parameter) if own else None
        assignment = special or neutral(self.graph, parameter, self.adapters)
        if assignment is not None:
            return assignment if assignment.bias else _louder(assignment, gain)
        if parameter.role is Role.EMBEDDING:
            spread, reason = embedding_spread(self.graph, parameter, self._spread)
            return drawn(parameter, "pytorch_embedding", reason, gain=gain * spread)
        return self._weight(parameter, gain)

    def _weight(self, parameter: Parameter, gain: float) -> Assignment:
        if self.scheme not in _FRAMEWORK_RULES and parameter.kernel is not None and is_tied(self.graph, parameter):
            spread = LOGIT_SPREAD / math.sqrt(parameter.kernel.fan_in)
            return drawn(parameter, self.scheme, f"{self.scheme}, {_TIED}", gain=gain, spread=spread)
        return drawn(parameter, self.scheme, _reason(parameter, self.scheme, gain), gain=gain)

    def _spread(self, parameter: Parameter) -> float | None:
        return self._weight(parameter, 1.0).spread


_TIED = (
    f"standard deviation {LOGIT_SPREAD:g}/√fan_in: the table is the output layer too, and its logits start with a "
    f"standard deviation of {LOGIT_SPREAD:g}, so that the loss starts at chance"
)


def _louder(assignment: Assignment, gain: float) -> Assignment:
    spread = None if assignment.spread is None else assignment.spread * gain
    return replace(assignment, gain=assignment.gain * gain, spread=spread)


def _reason(parameter: Parameter, scheme: str, gain: float) -> str:
    times = "" if gain == 1.0 else f" times {gain:g}"
    if parameter.kernel is None:
        return f"{scheme}{times}"
    fans = f"fan_in {parameter.kernel.fan_in:g}, fan_out {parameter.kernel.fan_out:g}"
    blocks = f", {parameter.blocks} blocks each with its own fans" if parameter.blocks > 1 else ""
    unreached = "; no operation that was seen uses it" if not parameter.reached else ""
    return f"{scheme}{times} ({fans}{blocks}){unreached}"


def _pytorch(graph: SignalGraph, parameter: Parameter) -> Assignment | None:
    """PyTorch's own rules where they are not those of its linear layers."""
    kernel = parameter.kernel
    match parameter.role:
        case Role.EMBEDDING:
            return drawn(parameter, "pytorch_embedding", "N(0, 1), PyTorch's own rule for embeddings")
        case Role.BIAS:
            owner = bias_owner(graph, parameter)
            if owner is None:
                return None
            weight = graph.parameter(owner[1])
            if weight.role is Role.PACKED_ATTENTION:
                return constant(parameter, "zero", "zero, PyTorch's own rule for packed attention", weight=weight.path)
            return constant(parameter, "uniform_fan_in", "U(±1/√fan_in), PyTorch's own rule", weight=weight.path)
        case Role.RECURRENT_BIAS:
            state = recurrent_weights(graph, parameter)
            if state is None:
                return None
            return constant(parameter, "uniform_fan_in", "U(±1/√hidden), PyTorch's own rule", weight=state.path)
        case Role.RECURRENT_INPUT if kernel is not None:
            # PyTorch draws all of an RNN within ±1/√hidden, the weights that read the input too.
            gain = math.sqrt(kernel.fan_in / kernel.out)
            return drawn(parameter, "pytorch_default", "U(±1/√hidden), PyTorch's own rule", gain=gain)
        case Role.PACKED_ATTENTION if kernel is not None:
            # PyTorch takes the three stacked matrices for one.
            gain = math.sqrt((kernel.fan_in + kernel.fan_out) / (kernel.fan_in + parameter.blocks * kernel.fan_out))
            return drawn(parameter, "glorot_uniform", "Glorot over all blocks at once, PyTorch's own rule", gain=gain)
        case _:
            return None


def _keras(_graph: SignalGraph, parameter: Parameter) -> Assignment | None:
    """Keras's own rules where they are not those of its dense layers."""
    match parameter.role:
        case Role.EMBEDDING:
            return drawn(parameter, "keras_embedding", "U(±0.05), Keras's own rule for embeddings")
        case Role.RECURRENT:
            return drawn(parameter, "orthogonal", "orthogonal, Keras's own rule for recurrent weights")
        case _:
            return None


_FRAMEWORK_RULES = {"pytorch_default": _pytorch, "keras_default": _keras}
