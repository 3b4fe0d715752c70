"""GS113: parts of a sum that drown each other."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.graph import Node, Operation, nearest_before
from gainstage.graph.groups import COPYING, LEVEL_KEEPING, NONLINEAR
from gainstage.records import Profile, Severity
from gainstage.rules.remedies import initialize
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure, place

__all__: list[str] = []

DROWNED = 0.1  # of the sum's root mean square
LOUD = 1.0  # of what a branch is added to


@rule("GS113", "One part of a sum drowns the other")
def drowned_part(profile: Profile) -> Iterator[Fault]:
    """Two parts that are added meet at such different levels that one of them hardly shows.

    What it does:
    Looks at sums of two kinds. Tables of words to which something is added that does not depend on the words
    (positions, segments): compares the level of the words with that of the sum. Branches that train and are added to a
    frozen part (adapters): compares the level of the branch with that of the frozen part.

    Why it matters:
    A layer behind the sum sees where a word stands and not which word it is; a normalisation does not change their
    ratio. An adapter that is louder than the network it adapts replaces what that has learned.

    Null hypothesis:
    Parts that are to be told apart start within a factor of ten of each other. An adapter starts at zero or small.

    Bound and where it comes from:
    Words below a tenth of the sum: a hundredth of its variance. An adapter above the level of what it adapts. Both are
    warnings.

    Example:
    Sinusoidal positions, of root mean square 0.7, added to word vectors drawn with spread 0.02.

    Remedy:
    Bring both to one level; multiply word vectors by √width, or draw both alike:

        import gainstage as gs

        gs.initialize(model, x=x)

    Reference:
    Vaswani et al. 2017, section 3.4 (embeddings multiplied by √d_model); Hu et al. 2021 (LoRA) for adapters at zero.
    """
    judged = False
    for node in profile.graph.nodes:
        if node.stage != "model" or not node.inputs:
            continue
        for found in (_words(profile, node), _adapter(profile, node)):
            judged = judged or found is not None
            if found is not None and found.severity is not Severity.NOTE:
                yield found
                return
    if not judged:
        raise Lacking("no words with positions and no branch on a frozen part were measured")


def _words(profile: Profile, node: Node) -> Fault | None:
    """A table of words, and the sum with what does not depend on them."""
    if node.operation not in (Operation.ADD, Operation.OFFSET):
        return None
    graph, total = profile.graph, profile.by_node.get(node.index)
    for operand in node.inputs:
        tables = nearest_before(graph, operand, _is_table, through=COPYING | {Operation.SCALE})
        others = [i for i in node.inputs if i != operand and graph.nodes[i].from_input]
        if len(tables) != 1 or others or not graph.nodes[tables[0]].from_input:
            continue
        words = profile.by_node.get(tables[0])
        scales = _scaled(profile, operand, tables[0])
        if words is None or total is None or scales is None or not total.forward.rms > 0:
            continue
        share = words.forward.rms * scales / total.forward.rms
        return Fault(
            Severity.WARNING if share < DROWNED else Severity.NOTE,
            place(graph.nodes[tables[0]]),
            f"Words arrive with a level of {figure(words.forward.rms * scales)}, and the sum with positions has "
            f"{figure(total.forward.rms)}.",
            share,
            DROWNED,
            "The vectors of words are far smaller than what is added to them: layers behind see where, not what.",
            initialize("Bring words and positions to one level."),
            tables[0],
        )
    return None


def _is_table(node: Node) -> bool:
    return node.operation is Operation.EMBEDDING


def _scaled(profile: Profile, operand: int, table: int) -> float | None:
    """The constant that words are multiplied by on their way to the sum; None where it is not known."""
    scale, here = 1.0, profile.graph.nodes[operand]
    while here.index != table:
        if here.operation is Operation.SCALE:
            known = dict(here.settings).get("other")
            if known is None:
                return None
            scale *= abs(known)
        here = profile.graph.nodes[here.inputs[0]]
    return scale


def _adapter(profile: Profile, node: Node) -> Fault | None:
    """A branch of trainable weights that is added to one of frozen weights."""
    if node.operation is not Operation.ADD or len(node.inputs) != 2:
        return None
    graph = profile.graph
    sides = [
        nearest_before(graph, i, lambda n: n.operation.weighted, through=LEVEL_KEEPING | NONLINEAR) for i in node.inputs
    ]
    if any(len(side) != 1 for side in sides):
        return None
    (one,), (other,) = sides
    frozen = [not _trains(profile, i) for i in (one, other)]
    if sum(frozen) != 1:
        return None
    base, branch = (one, other) if frozen[0] else (other, one)
    at, beside = profile.by_node.get(base), profile.by_node.get(branch)
    if at is None or beside is None or not at.forward.rms > 0:
        return None
    ratio = beside.forward.rms / at.forward.rms
    return Fault(
        Severity.WARNING if ratio > LOUD else Severity.NOTE,
        place(graph.nodes[branch]),
        f"The branch that trains has a level of {figure(beside.forward.rms)}; the frozen part that it is added to has "
        f"{figure(at.forward.rms)}.",
        ratio,
        LOUD,
        "The adapter starts louder than what it adapts.",
        initialize("Let the last weight of the adapter start at zero.", [u.parameter for u in
                   graph.nodes[branch].uses_of("weight")]),
        branch,
    )  # fmt: skip


def _trains(profile: Profile, index: int) -> bool:
    uses = profile.graph.nodes[index].uses_of("weight")
    return any(profile.graph.parameter(use.parameter).trainable for use in uses)
