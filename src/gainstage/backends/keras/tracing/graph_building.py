"""From what was drafted to the framework-free graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from gainstage.backends.keras.models.geometry import Geometry, matrix
from gainstage.backends.keras.tracing.call import Draft
from gainstage.graph import Node, Operation, Parameter, SignalGraph, Use, assign_roles, fuse, unpacked

__all__ = ["assemble"]


def assemble(
    drafts: Sequence[Draft],
    parameters: Mapping[str, Any],
    aliases: Mapping[str, tuple[str, ...]],
    *,
    trainable: frozenset[int],
    inputs: Sequence[int],
    outputs: Sequence[int],
    loss: int | None,
    called: Mapping[str, str],
) -> SignalGraph:
    """The graph, with hand-written functions recognised and every weight's role found.

    Args:
        drafts: in order of execution.
        parameters: the variables by path.
        aliases: other paths of shared ones.
        trainable: ids of the variables that an optimizer may change.
        inputs, outputs, loss: their nodes.
        called: what Keras calls layers and weights, by path.
    """
    users: dict[str, list[tuple[Draft, Use]]] = defaultdict(list)
    for draft in drafts:
        for use in draft.uses:
            users[use.parameter].append((draft, use))
    described = tuple(
        replace(
            _parameter(path, variable, aliases.get(path, ()), users[path], id(variable) in trainable),
            called=called.get(path, ""),
        )
        for path, variable in parameters.items()
    )
    graph = SignalGraph(
        tuple(_node(draft, called.get(draft.path, "")) for draft in drafts),
        described,
        tuple(inputs),
        tuple(outputs),
        loss,
    )
    return assign_roles(unpacked(fuse(graph)))


def _node(draft: Draft, called: str) -> Node:
    return Node(
        draft.index,
        draft.operation,
        draft.name,
        draft.inputs,
        draft.shape,
        draft.path,
        draft.uses,
        draft.geometry.kernel if draft.geometry is not None else None,
        draft.function,
        draft.settings,
        draft.stage,
        0 if draft.leading else None,
        draft.from_input,
        unit_axis=draft.unit_axis,
        called=called,
    )


def _parameter(
    path: str, variable: Any, aliases: tuple[str, ...], users: Sequence[tuple[Draft, Use]], trainable: bool
) -> Parameter:
    shape = tuple(variable.shape)
    geometry: Geometry | None = None
    # A weight that several nodes share takes the geometry of a real layer before that of a table look-up.
    for draft, use in sorted(users, key=lambda pair: pair[0].operation is Operation.EMBEDDING):
        geometry = _geometry(draft, use, shape)
        if geometry is not None:
            break
    return Parameter(
        path,
        shape,
        str(variable.dtype),
        kernel=geometry.kernel if geometry is not None else None,
        blocks=geometry.blocks if geometry is not None else 1,
        layout=geometry.layout if geometry is not None else "in_out",
        trainable=trainable,
        aliases=aliases,
        nodes=tuple(dict.fromkeys(draft.index for draft, _ in users)),
    )


def _geometry(draft: Draft, use: Use, shape: tuple[int, ...]) -> Geometry | None:
    """The kernel that a weight is, seen from one node that uses it."""
    own = dict(draft.geometries).get(use.parameter)
    if own is not None:
        return own
    geometry = draft.geometry
    if use.slot != "weight" or geometry is None or len(shape) < 2:
        return None
    size = geometry.kernel.size * geometry.blocks
    if prod(shape) == size:
        return geometry
    if prod(shape) > size and prod(shape) % size == 0:  # a slice of it is used here
        return Geometry(geometry.kernel, prod(shape) // geometry.kernel.size, geometry.layout)
    return matrix(shape) if len(shape) == 2 else None
