"""Recognises functions written out by hand: x · rsqrt(mean x²) as normalisation, x · (1 + tanh(…)) as activation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gainstage.graph.ancestry import ancestry
from gainstage.graph.groups import MULTIPLYING
from gainstage.graph.operation import Operation
from gainstage.graph.signal import Node, SignalGraph, Slot

__all__ = ["fuse"]

_ELEMENTWISE = MULTIPLYING | {
    Operation.ACTIVATION, Operation.OFFSET, Operation.ADD, Operation.RESHAPE, Operation.REDUCTION,
}  # fmt: skip
_IN_PLACE = frozenset({"", "repeat"})
"""Reshapes that leave elements in place, or that broadcast a statistic over the elements it was computed from."""
_SPREADS = frozenset({"var", "std"})
_AFFINE: tuple[tuple[Operation, Slot, Slot], ...] = (
    (Operation.SCALE, "scale", "scale"),
    (Operation.OFFSET, "bias", "shift"),
)
_LONGEST = 16  # nodes; no normalisation or activation in use is written in more steps


def fuse(graph: SignalGraph) -> SignalGraph:
    """Return the same graph with hand-written normalisations, softmaxes and activations recognised.

    If both factors of a product are functions of one node alone, without a weight, they form one function of that node.
    It is a normalisation if a mean, sum or norm over units takes part, a softmax if that is a sum of exponentials, and
    otherwise an activation. Its steps stay in the graph and point to the whole by ``part_of``.
    """
    nodes = list(graph.nodes)
    for node in graph.nodes:
        found = _log_softmax(graph, node)
        squared = len(set(node.inputs)) == 1  # inside a loss only squares are recognised
        if node.operation is Operation.MULTIPLY and (node.stage == "model" or squared) and not node.uses:
            found = _product(graph, node)
        if found is None:
            continue
        whole, steps = found
        nodes[node.index] = whole
        for index in _inner(graph, steps, node.index):
            if nodes[index].part_of is None:
                nodes[index] = replace(nodes[index], part_of=node.index)
        if whole.operation is Operation.NORMALIZATION:
            _affine(graph, nodes, whole)
    return replace(graph, nodes=tuple(nodes))


def _affine(graph: SignalGraph, nodes: list[Node], norm: Node) -> None:
    """Merge scale and shift directly after a normalisation into the normalisation, as in the frameworks' layers."""
    for operation, slot, renamed in _AFFINE:
        readers = graph.consumers[norm.index]
        after = nodes[readers[0]] if len(readers) == 1 and norm.index not in graph.outputs else norm
        if after.operation is not operation or {u.slot for u in after.uses} != {slot}:
            continue
        uses = (*norm.uses, *(replace(use, slot=renamed) for use in after.uses))
        whole = replace(after, operation=norm.operation, function=norm.function, inputs=norm.inputs, uses=uses)
        nodes[norm.index] = replace(norm, part_of=whole.index, uses=())
        nodes[whole.index] = norm = whole


def _product(graph: SignalGraph, node: Node) -> tuple[Node, set[int]] | None:
    """Return the function that a product computes, with its steps; None where the product is no such function."""
    first, second = node.inputs[0], node.inputs[-1]
    base = ancestry(graph).nearest_common(first, second)
    if base is None:
        return None
    between = ancestry(graph).between(base, first, second, most=_LONGEST)
    if between is None:
        return None
    steps = [graph.nodes[i] for i in between]
    inside = {base, *between}
    if any(s.operation not in _ELEMENTWISE or s.uses or not inside.issuperset(s.inputs) for s in steps):
        return None
    if any(s.operation is Operation.RESHAPE and s.function not in _IN_PLACE for s in steps):
        return None  # a product of two parts of a tensor is a gate, not a function of one number
    if not any(s.operation is Operation.REDUCTION for s in steps):
        function = _name(steps, base)
        return replace(node, operation=Operation.ACTIVATION, function=function, inputs=(base,)), set(between)
    if graph.nodes[base].function == "exp":
        start, shift = _uncentred(graph, graph.nodes[base].inputs[0])
        whole = replace(node, operation=Operation.SOFTMAX, function="softmax", inputs=(start,))
        return whole, {base, *between, *shift}
    start, shift = _uncentred(graph, base)
    centred = bool(shift) or any(_is_difference(s) or s.function in _SPREADS for s in steps)
    function = "layer_norm" if centred else "unit_norm" if _is_length(steps) else "rms_norm"
    whole = replace(node, operation=Operation.NORMALIZATION, function=function, inputs=(start,))
    return whole, {*between, *shift}


def _is_length(steps: list[Node]) -> bool:
    """Report whether the divisor is the root of a sum of squares, and not of their mean."""
    reduced = {s.function for s in steps if s.operation is Operation.REDUCTION}
    squared = any(s.function in ("pow", "square") or s.operation is Operation.MULTIPLY for s in steps)
    return "norm" in reduced or (squared and "sum" in reduced)


def _is_difference(node: Node) -> bool:
    """Report whether one signal is subtracted from another."""
    return node.operation is Operation.ADD and sorted(node.coefficients) == [-1.0, 1.0]


def _name(steps: list[Node], base: int) -> str:
    """Return the name of a composite function, where it has a name of its own."""
    if not steps:
        return "square"
    gated = len(steps) == 1 and steps[0].function == "sigmoid" and steps[0].inputs == (base,)
    return "silu" if gated else "composite"


def _log_softmax(graph: SignalGraph, node: Node) -> tuple[Node, set[int]] | None:
    """Recognise log-softmax written as x − logsumexp(x)."""
    if not _is_difference(node) or len(node.inputs) != 2:
        return None
    first, second = _minuend_first(node)
    total = graph.nodes[second]
    if total.function != "logsumexp" or total.inputs != (first,):
        return None
    return replace(node, operation=Operation.SOFTMAX, function="log_softmax", inputs=(first,)), {second}


def _uncentred(graph: SignalGraph, index: int) -> tuple[int, set[int]]:
    """Return the node x and the steps of x − mean(x) or x − max(x); for any other node, the node and no steps."""
    node = graph.nodes[index]
    if _is_difference(node) and len(node.inputs) == 2:
        first, second = _minuend_first(node)
        taken = graph.nodes[second]
        if taken.operation is Operation.REDUCTION and taken.inputs == (first,):
            return first, {index, second}
    return index, set()


def _minuend_first(node: Node) -> tuple[int, ...]:
    return node.inputs if node.coefficients[0] > 0 else node.inputs[::-1]


def _inner(graph: SignalGraph, steps: Iterable[int], whole: int) -> set[int]:
    """Return the steps that no node outside of the function reads."""
    inner = set(steps) - set(graph.outputs)
    while True:
        outside = {i for i in inner if not {*inner, whole}.issuperset(graph.consumers[i])}
        if not outside:
            return inner
        inner -= outside
