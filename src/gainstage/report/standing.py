"""Locates a plain network in the phase diagram of mean-field theory, by the standard deviations of its weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from gainstage.errors import GainstageError
from gainstage.graph import Node, Operation
from gainstage.records import ParameterProfile, Profile
from gainstage.theory import activation

__all__ = ["Standing", "standing"]

# Operations that the mean-field theory of plain networks covers; sums, normalisations and gates are not among them.
_PLAIN = frozenset(
    {Operation.INPUT, Operation.LINEAR, Operation.CONVOLUTION, Operation.ACTIVATION, Operation.RESHAPE, Operation.LOSS}
)
FEWEST = 3  # hidden layers; with fewer, depth does not matter


@dataclass(frozen=True, slots=True)
class Standing:
    """Standard deviations of weights and biases in the hidden layers of a plain network.

    Args:
        activation: the name of the activation, which is the same in all layers.
        sigma_w: median over layers of the weights' root mean square, times √fan_in.
        sigma_b: median over layers of the biases' root mean square.
        layers: number of hidden layers.
    """

    activation: str
    sigma_w: float
    sigma_b: float
    layers: int


def standing(profile: Profile) -> Standing | None:
    """Return the position of a plain network of at least three hidden layers; None for any other network.

    A plain network is a chain of weights, biases and one activation that is in the table without settings. No other
        operation in it changes a signal's size.
    """
    graph = profile.graph
    nodes = [node for node in graph.nodes if node.stage == "model" and node.from_input]
    functions = {(node.function, node.settings) for node in nodes if node.operation is Operation.ACTIVATION}
    if len(functions) != 1 or any(node.operation not in _PLAIN for node in nodes):
        return None
    name, settings = functions.pop()
    if settings:
        return None
    try:
        activation(name)
    except GainstageError:
        return None
    spreads = list(_hidden(profile, nodes))
    if len(spreads) < FEWEST or not all(math.isfinite(v) for pair in spreads for v in pair):
        return None
    return Standing(name, median(w for w, _ in spreads), median(b for _, b in spreads), len(spreads))


def _hidden(profile: Profile, nodes: list[Node]) -> Iterator[tuple[float, float]]:
    """Yield σ_w and σ_b of every layer whose input and output are both activations."""
    after, active = set[int](), set[int]()  # nodes that pass an activation on; weighted nodes that an activation reads
    for node in nodes:
        if node.operation is Operation.ACTIVATION or (node.operation.passive and set(node.inputs) & after):
            after.add(node.index)
        if node.operation is Operation.ACTIVATION:
            active.update(_weighted_before(profile, node))
    for node in nodes:
        if node.index in active and set(node.inputs) & after:
            weight = _used(profile, node, "weight")
            kernel = profile.parameter(weight).kernel if weight is not None else None
            bias = _used(profile, node, "bias")
            if weight is not None and kernel is not None:
                yield weight.weight.rms * math.sqrt(kernel.fan_in), bias.weight.rms if bias is not None else 0.0


def _weighted_before(profile: Profile, node: Node) -> Iterator[int]:
    """Yield the weighted nodes whose output reaches this node through views alone."""
    for source in (profile.graph.nodes[i] for i in node.inputs):
        if source.operation.weighted:
            yield source.index
        elif source.operation is Operation.RESHAPE:
            yield from _weighted_before(profile, source)


def _used(profile: Profile, node: Node, slot: str) -> ParameterProfile | None:
    found = (profile.by_path.get(use.parameter) for use in node.uses if use.slot == slot)
    return next((measured for measured in found if measured is not None), None)
