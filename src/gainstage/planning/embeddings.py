"""The level of an embedding."""

from __future__ import annotations

import math
from collections.abc import Callable

from gainstage.graph import Operation, Parameter, Role, SignalGraph
from gainstage.planning.context import embedding_sums

__all__ = ["embedding_spread", "is_tied"]


def embedding_spread(
    graph: SignalGraph, parameter: Parameter, head_spread: Callable[[Parameter], float | None]
) -> tuple[float, str]:
    """The spread of a table's entries, and why.

    One row is read at a time and nothing is summed, so a fan means nothing: what the next layer sees is the row
    itself, and a spread of one gives it unit level. Of k tables whose rows are added each brings 1/k of that level.
    Where one of them is tied to the output layer, which needs small weights, the others follow it, or they would drown
    it.

    Args:
        graph: the model.
        parameter: the table.
        head_spread: the spread that the recipe gives to an output layer's weight.
    """
    tables = _added_tables(graph, parameter)
    for table in tables:
        spread = head_spread(table) if table.role is Role.HEAD else None
        if spread is not None:
            return spread, f"the spread of {table.path}, which is tied to the output and added to it"
    if len(tables) > 1:
        share = 1 / math.sqrt(len(tables))
        return share, f"one of {len(tables)} tables that are added: together their rows have unit level"
    return 1.0, "one row is read at a time, nothing is summed: a spread of one gives unit level"


def is_tied(graph: SignalGraph, parameter: Parameter) -> bool:
    """Whether a weight is a table of embeddings and the output layer at once."""
    return parameter.role is Role.HEAD and _is_table(graph, parameter)


def _is_table(graph: SignalGraph, parameter: Parameter) -> bool:
    return any(graph.nodes[index].operation is Operation.EMBEDDING for index in parameter.nodes)


def _added_tables(graph: SignalGraph, parameter: Parameter) -> tuple[Parameter, ...]:
    """The tables that are drawn and whose rows are added to those of this one, itself included."""
    if not graph.inputs:  # layers without connections: tables of one width are taken to be added to a tied one
        alike = tuple(p for p in graph.parameters if p.shape[1:] == parameter.shape[1:] and _is_table(graph, p))
        return alike if any(is_tied(graph, p) for p in alike) else (parameter,)
    mine = {index for index in parameter.nodes if graph.nodes[index].operation is Operation.EMBEDDING}
    together = {index for group in embedding_sums(graph) if group & mine for index in group} | mine
    drawn = (p for p in graph.parameters if p.role in {Role.EMBEDDING, Role.HEAD} and p.trainable)
    return tuple(p for p in drawn if together & set(p.nodes)) or (parameter,)
