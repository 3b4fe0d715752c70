"""The layers of a profile: every weighted node with its weight, its depth and what was measured there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gainstage.graph import KernelShape, Node, Operation, Parameter, Role, SignalGraph, depths
from gainstage.records import NodeProfile, ParameterProfile, Profile
from gainstage.rules.flow import scale_invariant
from gainstage.rules.words import place

__all__ = ["Layer", "layers", "weights_in_words"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One weighted node.

    Args:
        node: in the graph.
        depth: weighted operations from the input up to here.
        measured: at its output.
        scale_invariant: whether a normalisation divides its scale out again, before anything nonlinear sees it.
        last: whether no other weight reads what it makes.
        parameter: its weight; None where it has none of its own or several.
        weight: what was measured of that.
        first: whether this is the first node that uses the weight.
    """

    node: Node
    depth: int
    measured: NodeProfile
    scale_invariant: bool
    last: bool
    parameter: Parameter | None
    weight: ParameterProfile | None
    first: bool

    @property
    def name(self) -> str:
        """Its place in words."""
        return place(self.node)

    @property
    def role(self) -> Role | None:
        """Of its weight."""
        return self.parameter.role if self.parameter is not None else None

    @property
    def kernel(self) -> KernelShape | None:
        """Geometry of one block of its weight."""
        return self.parameter.kernel if self.parameter is not None else None

    @property
    def gain(self) -> float | None:
        """Root mean square of the weights times √fan_in; None where the weight is not used as it is."""
        if self.weight is None or self.kernel is None or self.parameter is None:
            return None
        names = {self.parameter.path, *self.parameter.aliases}
        uses = [use for use in self.node.uses_of("weight") if use.parameter in names]
        if not uses or uses[0].changes or not self.weight.weight.finite:
            return None
        return self.weight.weight.rms * math.sqrt(self.kernel.fan_in)


def layers(profile: Profile) -> tuple[Layer, ...]:
    """The measured weighted nodes that depend on the input, tables of embeddings left out, in order of flow."""
    graph = profile.graph
    depth, scale_free, read_again = depths(graph), scale_invariant(graph), _read_by_a_weight(graph)
    seen: set[str] = set()
    found = []
    for node in graph.weighted():
        measured = profile.by_node.get(node.index)
        if measured is None or node.operation is Operation.EMBEDDING:
            continue
        uses = node.uses_of("weight")
        parameter = graph.parameter(uses[0].parameter) if len(uses) == 1 else None
        path = parameter.path if parameter is not None else ""
        found.append(
            Layer(
                node,
                depth[node.index],
                measured,
                node.index in scale_free,
                node.index not in read_again,
                parameter,
                profile.by_path.get(path),
                path not in seen,
            )
        )
        seen.add(path)
    return tuple(found)


def _read_by_a_weight(graph: SignalGraph) -> frozenset[int]:
    """Nodes from which a way leads to another weighted node."""
    found: set[int] = set()
    for node in reversed(graph.nodes):
        readers = graph.consumers[node.index]
        if any(r in found or graph.nodes[r].operation.weighted for r in readers):
            found.add(node.index)
    return frozenset(found)


def weights_in_words(layer: Layer) -> str:
    """The spread of a layer's weights against 1/√fan_in, in words; empty where it is not known."""
    gain = layer.gain
    if gain is None or layer.kernel is None or layer.weight is None:
        return ""
    fan_in = layer.kernel.fan_in
    return (
        f"the weights of '{layer.name}' have spread {layer.weight.weight.rms:.3g}, {gain:.3g} times "
        f"1/√fan_in (fan_in {fan_in:.6g})"
    )
