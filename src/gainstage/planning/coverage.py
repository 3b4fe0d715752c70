"""Which weights a plan would leave because nothing shows what they are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gainstage.graph import Parameter, Role, SignalGraph
from gainstage.planning.assign import DRAWN_TYPES
from gainstage.planning.overrides import LITERAL, Overrides, canonical_name, resolve

__all__ = ["completed", "unexplained"]


def unexplained(graph: SignalGraph, scheme: str, overrides: Overrides | None = None) -> tuple[Parameter, ...]:
    """List the weights that a scheme is to draw and that no operation or known module of the graph uses.

    Args:
        graph: the model, from its modules alone or from a trace.
        scheme: of the whole model; ``keep`` draws only what overrides name.
        overrides: weights that they keep, or set to a constant, are accounted for.

    Raises:
        InputError: a pattern of the overrides matches nothing.
        UnknownNameError: there is no such scheme.
    """
    whole = canonical_name(scheme)
    asked = resolve(overrides or {}, graph.parameters)

    def is_left(parameter: Parameter) -> bool:
        override = asked.get(parameter.path)
        wanted = override.scheme if override is not None and override.scheme is not None else whole
        literal = wanted == "keep" or (override is not None and wanted in LITERAL)
        return not literal and _without_use(parameter)

    return tuple(filter(is_left, graph.parameters))


def _without_use(parameter: Parameter) -> bool:
    drawn = parameter.trainable and parameter.dtype.startswith(DRAWN_TYPES)
    return drawn and parameter.role is Role.OTHER and not parameter.reached


def completed(traced: SignalGraph, listed: SignalGraph) -> SignalGraph:
    """Take from a model's modules the roles that its trace does not show.

    Args:
        traced: the model as an input ran through it.
        listed: the same model from its modules alone.
    """
    known: dict[str, Parameter] = {p.path: p for p in listed.parameters if p.role is not Role.OTHER}
    parameters: Sequence[Parameter] = [
        replace(p, role=k.role, kernel=k.kernel, blocks=k.blocks, layout=k.layout)
        if p.role is Role.OTHER and p.magnitude_of is None and (k := known.get(p.path)) is not None
        else p
        for p in traced.parameters
    ]
    return replace(traced, parameters=tuple(parameters))
