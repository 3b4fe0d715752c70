"""Assigns every parameter its role, from the structure of the graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from gainstage.graph.derivation import DerivationStep
from gainstage.graph.groups import COPYING, LEVEL_KEEPING, MASKED_AFFINE, MULTIPLYING, NONLINEAR
from gainstage.graph.operation import Operation, Role
from gainstage.graph.patterns.recurrence import recurrences
from gainstage.graph.patterns.residual import residuals
from gainstage.graph.signal import Node, Parameter, SignalGraph
from gainstage.graph.walk import all_after, nearest_after, nearest_before

__all__ = ["assign_roles"]

# A parameter with several uses gets the strictest role: an output layer must start at chance level in any case.
_STRICTEST = (
    Role.HEAD,
    Role.RECURRENT,
    Role.PACKED_ATTENTION,
    Role.QUERY,
    Role.KEY,
    Role.BRANCH_END,
    Role.VALUE,
    Role.GATE,
    Role.BEFORE_NORM,
    Role.DEPTHWISE,
    Role.HIDDEN,
    Role.EMBEDDING,
    Role.RECURRENT_INPUT,
    Role.RECURRENT_BIAS,
    Role.NORM_SCALE,
    Role.NORM_SHIFT,
    Role.BIAS,
    Role.MAGNITUDE,
    Role.OTHER,
)
_OPENING = frozenset({"sigmoid", "hardsigmoid", "softmax"})
_TO_OUTPUT = LEVEL_KEEPING | NONLINEAR | {Operation.CONCATENATION}
_SUMMED = MASKED_AFFINE | {Operation.ADD}
_PROJECTED = _SUMMED | MULTIPLYING | {Operation.CONCATENATION}


def assign_roles(graph: SignalGraph) -> SignalGraph:
    """Return the same graph with a role for every parameter that is used."""
    kernels = _kernel_roles(graph)
    candidates: dict[str, set[Role]] = defaultdict(set)
    for node in graph.nodes:
        for use in node.uses:
            role = (
                kernels[node.index]
                if use.slot == "weight" and node.operation.weighted
                else _slot_role(graph, node, use.slot)
            )
            candidates[use.parameter].add(role)
    parameters = []
    for parameter in graph.parameters:
        roles = candidates.get(parameter.path, set())
        role = min(roles, key=_STRICTEST.index, default=parameter.role)
        if parameter.magnitude_of is not None:
            role = Role.MAGNITUDE
        elif (
            (role.is_kernel and parameter.kernel is None)
            or _adapts(graph, parameter)
            or _scales_noise(graph, parameter)
        ):
            role = Role.OTHER
        parameters.append(replace(parameter, role=role))
    return graph.with_parameters(tuple(parameters))


def _adapts(graph: SignalGraph, parameter: Parameter) -> bool:
    """Report whether the parameter is a factor of an adapter that is added to a frozen weight (merged LoRA)."""
    if not parameter.trainable or not parameter.nodes:
        return False
    names = {parameter.path, *parameter.aliases}
    for node in (graph.nodes[index] for index in parameter.nodes):
        own = [use for use in node.uses if use.parameter in names]
        factors = {use.parameter for use in node.uses if DerivationStep.PRODUCT in use.derivation}
        if len(factors) < 2 or not all(use.parameter in factors for use in own):
            return False
        added = (use for use in node.uses_of("weight") if DerivationStep.SUM in use.derivation)
        beside = (use for use in added if use.parameter not in factors)
        if all(graph.parameter(use.parameter).trainable for use in beside):
            return False
    return True


def _scales_noise(graph: SignalGraph, parameter: Parameter) -> bool:
    """Report whether the parameter is the scale of noise added to another one (Bayesian and noisy layers)."""
    names = {parameter.path, *parameter.aliases}
    found = False
    for node in (graph.nodes[index] for index in parameter.nodes):
        for own in (use for use in node.uses if use.parameter in names):
            centres = (use for use in node.uses_of(own.slot) if DerivationStep.NOISE not in use.derivation)
            if DerivationStep.NOISE not in own.derivation or not any(use.parameter not in names for use in centres):
                return False
            found = True
    return found


def _slot_role(graph: SignalGraph, node: Node, slot: str) -> Role:
    recurrent = node.operation is Operation.RECURRENT
    if slot == "bias":
        return Role.RECURRENT_BIAS if recurrent else Role.BIAS
    if slot == "state":
        return Role.RECURRENT
    if slot == "shift":
        return Role.NORM_SHIFT
    if slot == "scale":
        if node.operation is Operation.NORMALIZATION:
            return Role.NORM_SCALE
        back = nearest_before(
            graph, node.inputs[0], lambda n: n.operation is Operation.NORMALIZATION, through={Operation.RESHAPE}
        )
        return Role.NORM_SCALE if node.inputs and back else Role.OTHER
    return Role.OTHER


def _kernel_roles(graph: SignalGraph) -> dict[int, Role]:
    """Return the role of the weight of every weighted node; later rules override earlier ones."""
    roles: dict[int, Role] = {}
    for node in graph.nodes:
        if node.operation is Operation.EMBEDDING:
            # A table that is not indexed by an input holds positions: it stays as the model made it.
            roles[node.index] = Role.EMBEDDING if node.from_input else Role.OTHER
        elif node.operation is Operation.RECURRENT:
            roles[node.index] = Role.RECURRENT_INPUT
        elif node.operation.weighted:
            depthwise = node.kernel is not None and node.kernel.groups == node.kernel.in_ > 1
            roles[node.index] = Role.DEPTHWISE if depthwise else Role.HIDDEN
    # Every path from these nodes reaches a normalisation before any operation that depends on the scale.
    normalised = all_after(graph, _is(Operation.NORMALIZATION), through=LEVEL_KEEPING)
    mixing = {i for i, role in roles.items() if role in (Role.HIDDEN, Role.DEPTHWISE)}
    for node in graph.nodes:
        if node.index in mixing:
            if _is_gate(graph, node):
                roles[node.index] = Role.GATE
            if node.index in normalised:
                roles[node.index] = Role.BEFORE_NORM
    adds = residuals(graph)
    for add in adds:
        for end in add.ends:
            if end in mixing and roles[end] not in (Role.BEFORE_NORM, Role.GATE):
                roles[end] = Role.BRANCH_END
    heads = _heads(graph, frozenset(add.add for add in adds))
    found = _attention_roles(graph) | dict.fromkeys(heads, Role.HEAD)
    for loop in recurrences(graph):
        found |= dict.fromkeys(loop.inputs, Role.RECURRENT_INPUT) | dict.fromkeys(loop.states, Role.RECURRENT)
    return roles | {index: role for index, role in found.items() if index in mixing}


def _is_gate(graph: SignalGraph, node: Node) -> bool:
    """Report whether the output multiplies another signal, after an activation or a softmax.

    Where both factors come out of an activation, the gate is the one whose activation ranges from closed to open (such
    as a sigmoid).
    """
    for index in nearest_after(graph, node.index, _opens, through=MASKED_AFFINE):
        for product in nearest_after(graph, index, _is(Operation.MULTIPLY), through=COPYING):
            sides = (
                nearest_before(graph, i, _is(Operation.ACTIVATION), through=COPYING)
                for i in graph.nodes[product].inputs
            )
            if not all(sides) or graph.nodes[index].function in _OPENING:
                return True
    return False


def _opens(node: Node) -> bool:
    return node.operation in NONLINEAR


def _attention_roles(graph: SignalGraph) -> dict[int, Role]:
    """Return the roles of the projections around fused attention, and around a hand-written softmax(q kᵀ) v."""
    roles: dict[int, Role] = {}
    for node in graph.nodes:
        if node.operation is Operation.ATTENTION and node.inputs:
            _name_projections(graph, roles, node.inputs[:3] if len(node.inputs) >= 3 else node.inputs[:1] * 3)
        elif node.operation is Operation.MATMUL and len(node.inputs) == 2:
            for weights in nearest_before(graph, node.inputs[0], _is(Operation.SOFTMAX), through=_SUMMED):
                scored = graph.nodes[weights].inputs[0]
                for score in nearest_before(graph, scored, _is(Operation.MATMUL), through=_SUMMED):
                    query, key = graph.nodes[score].inputs[0], graph.nodes[score].inputs[-1]
                    _name_projections(graph, roles, (query, key, node.inputs[1]))
    return roles


def _is(operation: Operation) -> Callable[[Node], bool]:
    return lambda node: node.operation is operation


def _name_projections(graph: SignalGraph, roles: dict[int, Role], operands: tuple[int, ...]) -> None:
    found = [nearest_before(graph, o, lambda n: n.operation.weighted, through=_PROJECTED) for o in operands]
    for ways, role in zip(found, (Role.QUERY, Role.KEY, Role.VALUE), strict=True):
        for index in ways:
            shared = sum(index in other for other in found) > 1
            roles[index] = Role.PACKED_ATTENTION if shared else role


def _heads(graph: SignalGraph, streams: frozenset[int]) -> tuple[int, ...]:
    """Return the weighted nodes whose output reaches a model output through reshapes, activations and sums alone.

    A residual add does not count as such a sum, because its other operand is a residual stream. Among further outputs
    (an actor's and a critic's, means and variances) only those count that no other node reads, since models also return
    intermediate signals.
    """

    def passable(node: Node) -> bool:
        return node.operation in _TO_OUTPUT or (node.operation is Operation.ADD and node.index not in streams)

    def ends(output: int) -> tuple[int, ...]:
        return nearest_before(graph, output, lambda node: node.operation.weighted, through=passable)

    def is_last(index: int) -> bool:
        return not nearest_after(
            graph, index, lambda node: node.stage != "loss" and not passable(node), through=passable
        )

    if not graph.outputs:
        return ()
    first, *further = (ends(output) for output in graph.outputs)
    return tuple(dict.fromkeys((*first, *(index for found in further for index in found if is_last(index)))))
