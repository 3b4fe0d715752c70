"""Low-rank adapters, found by the structure of the graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gainstage.graph import Node, Operation, SignalGraph
from gainstage.records import Profile

__all__ = ["Adapter", "adapters"]

LOW = 4
"""A rank of at most a quarter of both sides is low: at a half two factors have as many weights as the matrix."""
_THROUGH = frozenset({Operation.RESHAPE, Operation.DROPOUT, Operation.SCALE})


@dataclass(frozen=True, slots=True)
class Adapter:
    """Two linear layers of low rank beside a third one.

    Args:
        base: path of the weight that is adapted.
        first, second: paths of the two factors.
        add: index of the sum.
        silent: whether a factor is zero, so that the adapter adds nothing yet.
    """

    base: str
    first: str
    second: str
    add: int
    silent: bool


def adapters(profile: Profile) -> Iterator[Adapter]:
    """Yield the low-rank adapters of a profile, in order of execution."""
    graph = profile.graph
    for node in graph.nodes:
        if node.operation is not Operation.ADD or len(node.inputs) != 2:
            continue
        one, other = (_linear_before(graph, index) for index in node.inputs)
        for base, second in ((one, other), (other, one)):
            first = _linear_before(graph, second.inputs[0]) if second is not None and second.inputs else None
            if base is None or second is None or first is None:
                continue
            found = _adapter(profile, base, first, second, node.index)
            if found is not None:
                yield found
                break


def _linear_before(graph: SignalGraph, index: int) -> Node | None:
    """The linear layer whose output reaches a node unchanged but for dropout, scales and reshapes."""
    node = graph.nodes[index]
    while node.operation in _THROUGH and len(node.inputs) == 1 and not node.uses:
        node = graph.nodes[node.inputs[0]]
    return node if node.operation is Operation.LINEAR and node.uses_of("weight") else None


def _adapter(profile: Profile, base: Node, first: Node, second: Node, add: int) -> Adapter | None:
    kernels = base.kernel, first.kernel, second.kernel
    if any(kernel is None for kernel in kernels):
        return None
    whole, down, up = kernels
    assert whole is not None  # for the type checker: all three were asked
    assert down is not None
    assert up is not None
    fits = (down.in_, up.out) == (whole.in_, whole.out) and down.out == up.in_
    if not fits or LOW * down.out > min(whole.in_, whole.out):
        return None
    paths = [node.uses_of("weight")[0].parameter for node in (base, first, second)]
    zero = any(
        (measured := profile.by_path.get(path)) is not None and measured.weight.second_moment == 0 for path in paths[1:]
    )
    return Adapter(paths[0], paths[1], paths[2], add, zero)
