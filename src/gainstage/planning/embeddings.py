"""The level of an embedding."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from gainstage.graph import Operation, Parameter, Role, SignalGraph, nearest_before, once_per_graph
from gainstage.graph.groups import SHIFTING
from gainstage.planning.context import embedding_sums

__all__ = ["embedding_spread", "is_tied", "positions_beside"]


def embedding_spread(
    graph: SignalGraph, parameter: Parameter, head_spread: Callable[[Parameter], float | None], *, paced: bool = False
) -> tuple[float, str]:
    """The spread of a table's entries, and why.

    One row is read at a time and nothing is summed, so a fan means nothing: what the next layer sees is the row itself,
    and a spread of one gives it unit level. Of k tables whose rows are added each brings 1/k of that level. Where one
    of them is tied to the output layer, which needs small weights, the others follow it, or they would drown it.

    What reads the rows can be scaled to any level of theirs, or a normalisation does that. Then their spread sets the
    pace alone: under Adam an entry moves by the learning rate a step, whatever its size, and at a spread of one it
    takes √d times as many steps to change as a hidden weight of 1/√d. With ``paced``, rows of d entries get that
    spread too.

    Args:
        graph: the model.
        parameter: the table.
        head_spread: the spread that the recipe gives to an output layer's weight.
        paced: whether rows have unit length instead of unit level; positions then share it with the tables.
    """
    tables = _added_tables(graph, parameter, positions=paced)
    for table in tables:
        spread = head_spread(table) if table.role is Role.HEAD else None
        if spread is not None:
            return spread, f"the spread of {table.path}, which is tied to the output and added to it"
    share = 1 / math.sqrt(len(tables))
    if paced:
        width = max(parameter.shape[-1], 1)
        told = f"1/√{width}: one row is read at a time, so its spread sets the pace alone, here that of hidden weights"
        if len(tables) > 1:
            told = f"{told}; one of {len(tables)} tables that are added: together their rows have unit length"
        return share / math.sqrt(width), told
    if len(tables) > 1:
        return share, f"one of {len(tables)} tables that are added: together their rows have unit level"
    return 1.0, "one row is read at a time, nothing is summed: a spread of one gives unit level"


@once_per_graph("graph")
def positions_beside(graph: SignalGraph) -> Mapping[str, int]:
    """Tables and arrays of positions that are added to the rows of a table, with the node of one such table.

    They are the same for every example. A position whose values are far smaller than the rows beside it is not seen,
    and one whose values are far larger drowns them.
    """
    found: dict[str, int] = {}
    sums = embedding_sums(graph)
    for group in sums:
        first = min((i for i in group if graph.nodes[i].from_input), default=None)
        if first is None:
            continue
        for index in group:
            if not graph.nodes[index].from_input:
                found |= dict.fromkeys(
                    (graph.parameter(u.parameter).path for u in graph.nodes[index].uses_of("weight")), first
                )
    for node in graph.nodes:
        if node.operation is not Operation.OFFSET or not node.inputs:
            continue
        rows = nearest_before(graph, node.inputs[0], lambda n: n.operation is Operation.EMBEDDING, through=SHIFTING)
        rows = tuple(i for i in rows if graph.nodes[i].from_input)
        for use in node.uses if rows else ():
            own = graph.parameter(use.parameter)
            if own.role in {Role.OTHER, Role.BIAS} and own.trainable and _varies(own) and not use.changes:
                found[own.path] = rows[0]
    return MappingProxyType(found)


def _varies(parameter: Parameter) -> bool:
    """Report whether the parameter holds several rows, one for each position."""
    return math.prod(parameter.shape[:-1]) > 1


def is_tied(graph: SignalGraph, parameter: Parameter) -> bool:
    """Whether a weight is a table of embeddings and the output layer at once."""
    return parameter.role is Role.HEAD and _is_table(graph, parameter)


def _is_table(graph: SignalGraph, parameter: Parameter) -> bool:
    return any(graph.nodes[index].operation is Operation.EMBEDDING for index in parameter.nodes)


def _added_tables(graph: SignalGraph, parameter: Parameter, *, positions: bool) -> tuple[Parameter, ...]:
    """The tables that are drawn and whose rows are added to those of this one, itself included."""
    if not graph.inputs:  # layers without connections: tables of one width are taken to be added to a tied one
        alike = tuple(p for p in graph.parameters if p.shape[1:] == parameter.shape[1:] and _is_table(graph, p))
        return alike if any(is_tied(graph, p) for p in alike) else (parameter,)
    mine = {index for index in parameter.nodes if graph.nodes[index].operation is Operation.EMBEDDING}
    together = {index for group in embedding_sums(graph) if group & mine for index in group} | mine
    drawn = (p for p in graph.parameters if p.role in {Role.EMBEDDING, Role.HEAD} and p.trainable)
    beside = positions_beside(graph) if positions else {}
    found = tuple(p for p in drawn if together & set(p.nodes)) or (parameter,)
    return (*found, *(p for p in graph.parameters if beside.get(p.path, -1) in together and p not in found))
