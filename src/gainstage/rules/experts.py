"""GS119: experts that get no tokens, or nearly all of them."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from gainstage.graph import Node, Operation, SignalGraph
from gainstage.records import Profile, Severity
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, rule
from gainstage.rules.words import listed

__all__: list[str] = []

ALMOST_ALL = 0.9  # of the tokens
CHANCE = 1e-3  # that an even router leaves an expert without tokens, all experts together


@dataclass(frozen=True, slots=True)
class _Experts:
    """Layers of one shape that each read some rows of one tensor.

    Args:
        source: the node whose rows they read.
        tokens: number of its rows.
        loads: rows of every expert by the path of its first weight; zero for siblings that did not run.
    """

    source: Node
    tokens: int
    loads: dict[str, int]


@rule("GS119", "An expert gets no tokens, or nearly all")
def unbalanced(profile: Profile) -> Iterator[Fault]:
    """The router of a mixture of experts sends all tokens to a few experts.

    What it does:
    Finds linear layers of one shape, at the same place of numbered siblings, that each read rows picked from one
    tensor, and counts these rows. Siblings that did not run have none.

    Why it matters:
    An expert without tokens gets no gradient and stays without tokens; one that gets all of them does the work of the
    layer alone, and the others are weights for nothing.

    Null hypothesis:
    A router at the start sends every token to k of E experts with equal chances. Tokens that resemble each other are
    sent alike: n tokens of mean cosine similarity ρ count as n / (1 + (n - 1) ρ).

    Bound and where it comes from:
    No tokens: a warning where an even router leaves any expert empty with a probability below 1e-3. Nearly all: one
    expert of at least three reads nine tenths of the tokens, where k of E is at most a half.

    Example:
    A router whose weights start ten times too large, or with a bias for one expert.

    Remedy:
    Small weights for the router, and a loss for balance:

        loss = loss + 0.01 * experts * (share_of_tokens * mean_probability).sum()

    Reference:
    Shazeer et al. 2017, Outrageously Large Neural Networks; Fedus et al. 2022, Switch Transformers, section 2.2.
    """
    for found in _mixtures(profile):
        loads, number = found.loads, len(found.loads)
        chosen = sum(loads.values()) / max(found.tokens, 1)
        empty = [path for path, load in loads.items() if load == 0]
        most = max(loads, key=lambda path: loads[path])
        if number >= 3 and chosen <= number / 2 and loads[most] > ALMOST_ALL * found.tokens and found.tokens > 1:
            measured, what = loads[most] / found.tokens, f"'{most}' reads {loads[most]} of {found.tokens} tokens"
        elif empty and number * (1 - min(chosen / number, 1.0)) ** _effective(profile, found) < CHANCE:
            measured, what = len(empty) / number, f"{len(empty)} of {number} experts get none: {listed(empty)}"
        else:
            continue
        yield Fault(
            Severity.WARNING,
            most if not empty else empty[0],
            f"Of {found.tokens} tokens, each sent to {chosen:.3g} of {number} experts, {what}.",
            measured,
            CHANCE,
            "The router's scores differ more between experts than between tokens.",
            edit("Start the router small, and add a loss for balance.", phrase("experts in balance")),
            found.source.index,
        )


def _effective(profile: Profile, found: _Experts) -> float:
    """The number of tokens that choose on their own."""
    at = profile.by_node.get(found.source.index)
    units = at.units if at is not None else None
    alike = max(
        (c for c in (units.example_correlation, units.token_correlation) if c is not None), default=0.5
    ) if units is not None else 0.5  # fmt: skip
    return found.tokens / (1 + (found.tokens - 1) * min(max(alike, 0.0), 1.0))


def _mixtures(profile: Profile) -> Iterator[_Experts]:
    graph = profile.graph
    groups: dict[tuple[int, str], dict[str, int]] = defaultdict(dict)
    for node in graph.nodes:
        if node.operation is not Operation.LINEAR or not node.uses_of("weight") or not node.inputs:
            continue
        picked = _picked(graph, node.inputs[0])
        if picked is None:
            continue
        path = node.uses_of("weight")[0].parameter
        loads = groups[picked.inputs[0], _pattern(path)]
        loads[path] = loads.get(path, 0) + math.prod(node.shape[:-1])
    for (source, pattern), loads in groups.items():
        shapes = {graph.parameter(path).shape for path in loads}
        for parameter in graph.parameters:
            if not parameter.reached and _pattern(parameter.path) == pattern and parameter.shape in shapes:
                loads[parameter.path] = 0
        if len(loads) > 1:
            tokens = math.prod(graph.nodes[source].shape[:-1])
            yield _Experts(graph.nodes[source], tokens, loads)


def _pattern(path: str) -> str:
    """The path with every number left open: siblings in a list have the same one."""
    return re.sub(r"\d+", "*", path)


def _picked(graph: SignalGraph, index: int) -> Node | None:
    """The node that picks rows by index, where only reshapes and casts lie between."""
    node = graph.nodes[index]
    while node.operation is Operation.RESHAPE and node.function != "gather" and len(node.inputs) == 1:
        node = graph.nodes[node.inputs[0]]
    return node if node.operation is Operation.RESHAPE and node.function == "gather" and node.inputs else None
