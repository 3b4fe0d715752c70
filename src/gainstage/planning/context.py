"""What stands around a weight: what it reads, what reads it, and how long the plain run is that it belongs to.

A *plain run* is a chain of weights joined by activations alone. Normalisations, skips and the input set the level
afresh, so a run begins and ends there; only inside it do factors multiply.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np

from gainstage.errors import GainstageError
from gainstage.graph import Node, Operation, Parameter, Role, SignalGraph, nearest_before, once_per_graph, residuals
from gainstage.graph.groups import LEVEL_KEEPING, MASKED_AFFINE
from gainstage.propagation.composed import is_scalar
from gainstage.theory.activations import activation

__all__ = [
    "Incoming",
    "Origin",
    "Surroundings",
    "adapter_ends",
    "adapter_starts",
    "bias_owner",
    "embedding_sums",
    "signal_at",
    "survey",
    "weight_nodes",
]

Origin = Literal["input", "normalization", "weight", "embedding", "stream", "other"]
"""What sets the level of the signal before the last activation."""

_CARRIERS = LEVEL_KEEPING | {Operation.CONCATENATION}
"""Operations that hand a signal on at about its own level."""

_INSIDE = _CARRIERS | {Operation.ACTIVATION}
"""What stands between the two weights of an adapter."""

_ORIGINS: Mapping[Operation, Origin] = MappingProxyType(
    {
        Operation.INPUT: "input",
        Operation.NORMALIZATION: "normalization",
        Operation.LINEAR: "weight",
        Operation.CONVOLUTION: "weight",
        Operation.EMBEDDING: "embedding",
        Operation.ADD: "stream",
    }
)


@dataclass(frozen=True, slots=True)
class Incoming:
    """The signal that a weight reads.

    Args:
        origin: what set the level of the pre-activation (or of the signal itself, when there is no activation).
        node: the node that did.
        function: the activation in between; empty when there is none.
        settings: of that activation.
        keep: the share that dropout lets through on the way (1 without dropout).
        gated: whether the activation multiplies another signal instead of passing on its own; ``origin`` and ``node``
            are then those of that other signal.
        gate: the weighted node whose output the gate's activation reads; None where there is none.
        value: the activation that the other signal passes before the gate multiplies it: WaveNet's tanh(a) · σ(b).
        through: the activations and the scalings by one number on the way, in the order of flow.
    """

    origin: Origin
    node: int
    function: str = ""
    settings: tuple[tuple[str, float], ...] = ()
    keep: float = 1.0
    gated: bool = False
    gate: int | None = None
    value: tuple[int, ...] = ()
    through: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One weighted node in its place.

    Args:
        incoming: the signal it reads.
        outgoing: the ways to the nodes that its output meets first, carriers left out: scalings by one number, then
            the node.
        depth: how many weights its plain run holds.
        position: which one of them it is, from 1.
        end: the last node of its run.
        biased: whether a bias that can be set is added to its output.
    """

    incoming: Incoming
    outgoing: tuple[tuple[Node, ...], ...]
    depth: int
    position: int
    end: int
    biased: bool


def survey(graph: SignalGraph, settable: Container[str]) -> Mapping[int, Surroundings]:
    """The surroundings of every weighted node, by index.

    Args:
        graph: the model.
        settable: paths of the parameters that may be changed; only a bias among them counts.

    >>> from gainstage.graph import KernelShape, Node, Operation, SignalGraph
    >>> nodes = (
    ...     Node(0, Operation.INPUT, "input", (), (8, 4)),
    ...     Node(1, Operation.LINEAR, "linear", (0,), (8, 4)),
    ...     Node(2, Operation.ACTIVATION, "tanh", (1,), (8, 4), function="tanh"),
    ...     Node(3, Operation.LINEAR, "linear", (2,), (8, 4)),
    ... )
    >>> around = survey(SignalGraph(nodes, ()), settable=())
    >>> around[3].incoming.function, around[3].incoming.origin, around[3].depth
    ('tanh', 'weight', 2)
    """
    forks = _forks(graph)
    incoming = {
        node.index: _incoming(graph, node.index, _main_input(graph, node), forks)
        for node in graph.nodes if node.operation.weighted
    }  # fmt: skip
    position: dict[int, int] = {}
    for index, signal in incoming.items():
        position[index] = position[signal.node] + 1 if signal.origin == "weight" else 1
    depth = dict(position)
    end = {index: index for index in incoming}
    for index in reversed(incoming):
        signal = incoming[index]
        for before in (signal.node, signal.gate) if signal.origin == "weight" else ():
            if before is not None and depth[before] < depth[index]:
                depth[before], end[before] = depth[index], end[index]
    owners = (
        bias_owner(graph, p) for p in graph.parameters if p.role is Role.BIAS and p.trainable and p.path in settable
    )
    # A layer that is used again adds its bias again.
    biased = {index for owner in owners if owner is not None for index in graph.parameter(owner[1]).nodes}
    return MappingProxyType(
        {
            index: Surroundings(
                signal, _outgoing(graph, index), depth[index], position[index], end[index], index in biased
            )
            for index, signal in incoming.items()
        }
    )


def weight_nodes(graph: SignalGraph, parameter: Parameter) -> tuple[Node, ...]:
    """The weighted nodes in which a parameter is the weight."""
    names = {parameter.path, *parameter.aliases}
    return tuple(
        node
        for node in (graph.nodes[index] for index in parameter.nodes)
        if node.operation.weighted and any(use.parameter in names and use.slot != "bias" for use in node.uses)
    )


def bias_owner(graph: SignalGraph, parameter: Parameter) -> tuple[Node, str] | None:
    """The weighted node a bias belongs to, and the path of its weight; None where there is no single one."""
    for index in parameter.nodes:
        node: Node | None = graph.nodes[index]
        while node is not None and not node.operation.weighted:
            node = graph.nodes[node.inputs[0]] if node.operation in _CARRIERS and node.inputs else None
        if node is None:
            continue
        weights = [p for p in (graph.parameter(use.parameter) for use in node.uses_of("weight")) if p.role.is_kernel]
        if len(weights) == 1:
            return node, weights[0].path
    return None


@once_per_graph("graph")
def adapter_ends(graph: SignalGraph) -> frozenset[str]:
    """Weights that end a trainable branch beside frozen weights (LoRA's B): at zero they leave the model as it was."""
    frozen = {index for p in graph.parameters if not p.trainable for index in p.nodes}
    ends = set()
    for add in residuals(graph):
        beside = nearest_before(graph, add.skip, lambda n: n.operation.weighted, through=_CARRIERS)
        if beside and min(beside) > add.fork and frozen.issuperset(beside):
            ends |= set(add.ends) - frozen
    weights = (p for p in graph.parameters if p.role.is_kernel and p.trainable)
    return frozenset(p.path for p in weights if ends & {node.index for node in weight_nodes(graph, p)})


@once_per_graph("graph")
def adapter_starts(graph: SignalGraph) -> frozenset[str]:
    """Trainable weights that lead to the end of an adapter (LoRA's A): with that at zero they set the pace alone."""
    ends = adapter_ends(graph)
    found = set()
    for path in ends:
        for node in weight_nodes(graph, graph.parameter(path)):
            for source in node.inputs:
                before = nearest_before(graph, source, lambda n: n.operation.weighted, through=_INSIDE)
                found |= {use.parameter for index in before for use in graph.nodes[index].uses_of("weight")}
    weights = (graph.parameter(path) for path in found)
    return frozenset(p.path for p in weights if p.trainable and p.path not in ends)


@once_per_graph("nodes")
def embedding_sums(graph: SignalGraph) -> tuple[frozenset[int], ...]:
    """Embedding nodes whose rows are added before anything else happens to them (tokens, positions, segments)."""
    tables: list[frozenset[int] | None] = []
    for node in graph.nodes:
        if node.operation is Operation.EMBEDDING:
            tables.append(frozenset({node.index}))
        elif node.operation in {Operation.ADD, Operation.OFFSET}:
            operands = [tables[index] for index in node.inputs]
            known = [operand for operand in operands if operand is not None]
            tables.append(frozenset().union(*known) if known and len(known) == len(operands) else None)
        elif node.operation in MASKED_AFFINE and node.inputs:
            tables.append(tables[node.inputs[0]])
        else:
            tables.append(None)
    sums = {table for table in tables if table}
    return tuple(table for table in sums if not any(table < other for other in sums))


def signal_at(graph: SignalGraph, index: int) -> Incoming:
    """What a reader of a node's output would meet."""
    return _incoming(graph, index, graph.nodes[index], _forks(graph))


@once_per_graph("nodes")
def _forks(graph: SignalGraph) -> frozenset[int]:
    """The nodes where a residual branch leaves its stream."""
    return frozenset(add.fork for add in residuals(graph))


def _incoming(graph: SignalGraph, reader: int, here: Node | None, forks: Container[int]) -> Incoming:
    signal = Incoming("other", reader)
    forked = False
    while here is not None:
        forked = forked or here.index in forks  # what a residual add carries on is a stream from there
        origin = "stream" if forked and here.operation.weighted else _ORIGINS.get(here.operation, "other")
        signal = replace(signal, origin=origin, node=here.index)
        if signal.gated and here.operation in {Operation.ACTIVATION, Operation.MULTIPLY}:
            return replace(signal, origin="other")
        if here.operation is Operation.ACTIVATION or (is_scalar(here) and not signal.gated):
            signal = replace(signal, through=(here.index, *signal.through))
            if here.operation is Operation.ACTIVATION and not signal.function:
                signal = replace(signal, function=here.function, settings=here.settings)
        elif here.operation is Operation.MULTIPLY and not signal.function:
            operands = _operands(graph, here)
            functions = [operand for operand in operands if operand.operation is Operation.ACTIVATION]
            if not functions or len(operands) != 2:
                return signal
            gate = next((function for function in functions if _is_ajar(function)), functions[0])
            through = (gate.index, *signal.through)
            source = _operands(graph, gate)[0]
            signal = replace(
                signal, function=gate.function, settings=gate.settings, gated=True, through=through,
                gate=source.index if _ORIGINS.get(source.operation) == "weight" else None,
            )  # fmt: skip
            here = next((operand for operand in operands if operand is not gate), here)
            if here.operation is Operation.ACTIVATION and here is not gate:
                signal, here = replace(signal, value=(here.index,)), _operands(graph, here)[0]
            continue
        elif here.operation is Operation.DROPOUT:
            signal = replace(signal, keep=signal.keep * (1 - here.setting("p")))
        elif here.operation is Operation.INPUT and not signal.function:
            # Constants on the input are preprocessing: data come in the units that they undo.
            return replace(signal, through=())
        elif here.operation not in _CARRIERS:
            return signal
        here = _main_input(graph, here)
    return signal


def _is_ajar(node: Node) -> bool:
    """Whether a function lets something through at zero, as a sigmoid does: of two that are multiplied, the gate."""
    try:
        return bool(activation(node.function, dict(node.settings)).function(np.zeros(1))[0] != 0)
    except GainstageError:
        return False


def _main_input(graph: SignalGraph, node: Node) -> Node | None:
    """The operand that carries the signal."""
    operands = [graph.nodes[index] for index in node.inputs]
    return next((operand for operand in operands if operand.from_input), operands[0] if operands else None)


def _operands(graph: SignalGraph, node: Node) -> list[Node]:
    """What a node reads, seen through carriers."""
    found = []
    for index in node.inputs:
        operand = graph.nodes[index]
        while operand.operation in _CARRIERS and operand.inputs:
            operand = graph.nodes[operand.inputs[0]]
        found.append(operand)
    return found


def _outgoing(graph: SignalGraph, index: int) -> tuple[tuple[Node, ...], ...]:
    ways: dict[int, tuple[Node, ...]] = {}
    seen: set[int] = set()
    pending: list[tuple[int, tuple[Node, ...]]] = [(reader, ()) for reader in graph.consumers[index]]
    while pending:
        here, scalings = pending.pop()
        node = graph.nodes[here]
        if here in seen:
            continue
        seen.add(here)
        if node.operation in _CARRIERS:
            onward = (*scalings, node) if is_scalar(node) else scalings
            pending += [(reader, onward) for reader in graph.consumers[here]]
        else:
            ways[here] = (*scalings, node)
    return tuple(ways[reader] for reader in sorted(ways))
