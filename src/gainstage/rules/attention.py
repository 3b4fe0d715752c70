"""GS114 and GS115: softmaxes that choose one key whatever the scores' merit, and softmaxes that cannot choose."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Node, Operation, SignalGraph, nearest_before
from gainstage.graph.groups import COPYING, LEVEL_KEEPING, MASKED_AFFINE, PAIRWISE
from gainstage.records import NodeProfile, Profile, Severity
from gainstage.rules.flow import scores
from gainstage.rules.need import need_loss, need_output
from gainstage.rules.outgoing import RANGES
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure, place

__all__: list[str] = []

ONE_KEY = 0.5  # of a query's weight, squared and summed: two keys of equal weight have as much
FEWEST = 8  # keys: with a causal mask over fewer, the first queries alone bring the mean above a half
CHOOSES = 0.5  # the largest weight that the best score can have
FLOOR = 0.5  # of log C


@rule("GS114", "Attention looks at one key", of_starts=True)
def one_hot_attention(profile: Profile) -> Iterator[Fault]:
    """The attention weights are nearly one-hot before anything was learned.

    What it does:
    Takes the sum of squared weights over the keys of a query, averaged over all queries: the inverse of the effective
    number of keys. Where attention is one fused operation, takes the standard deviation that the scores have for
    independent queries and keys of the measured levels.

    Why it matters:
    The keys were chosen at random, and the slope of a softmax at 0 or 1 is zero: queries and keys get no gradient that
    could choose others.

    Null hypothesis:
    Scores of variance v leave about n·exp(-v) of n keys effective: at variance one, more than a third of them.

    Bound and where it comes from:
    A mean sum of squares above one half: fewer than two effective keys of at least eight. For fused attention a
    standard deviation of the scores above √(2 log n), where the softmax of n independent normal scores freezes onto the
    largest one (the transition of the random energy model). A warning.

    Example:
    Scores that are multiplied by √d instead of divided; queries and keys drawn with spread 1.

    Remedy:
    Divide the scores by √d, and draw queries and keys at 1/√fan_in:

        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])

    Reference:
    Vaswani et al. 2017, section 3.2.1; Derrida 1981 for the transition.
    """
    seen = [found for node in profile.graph.nodes if (found := _sharpness(profile, node)) is not None]
    if not seen:
        raise Lacking("no attention of at least eight keys was measured")
    sharp = [(node, fault) for node, share, bound, fault in seen if share > bound]
    if sharp:
        node, (evidence, measured, bound) = sharp[0]
        yield Fault(
            Severity.WARNING,
            place(node),
            f"{evidence}; so it is at {len(sharp)} of {len(seen)} attentions.",
            measured,
            bound,
            _why_sharp(profile, node),
            edit(
                "Divide the scores by √d, and draw queries and keys at 1/√fan_in.",
                phrase("scores over the root of their length"),
            ),
            node.index,
        )


def _sharpness(profile: Profile, node: Node) -> tuple[Node, float, float, tuple[str, float, float]] | None:
    """A softmax over keys or a fused attention: its figure, the bound, and both in words."""
    if node.stage != "model" or node.part_of is not None:
        return None
    if node.operation is Operation.SOFTMAX and node.index in scores(profile.graph):
        axis = int(node.setting("axis", len(node.shape) - 1))
        keys = node.shape[axis] if 0 <= axis < len(node.shape) else 0
        at = profile.by_node.get(node.index)
        if at is None or keys < FEWEST or not at.forward.finite or not _of_products(profile.graph, node):
            return None
        share = keys * at.forward.second_moment
        words = f"The weights over {keys} keys have {figure(1 / share)} effective keys on average"
        return node, share, ONE_KEY, (words, share, ONE_KEY)
    if node.operation is Operation.ATTENTION and node.setting("keys") >= FEWEST:
        spread, keys = _score_spread(profile, node), int(node.setting("keys"))
        bound = math.sqrt(2 * math.log(keys))
        if spread is None:
            return None
        words = f"The scores over {keys} keys have a standard deviation of about {figure(spread)}"
        return node, spread, bound, (words, spread, bound)
    return None


def _of_products(graph: SignalGraph, softmax: Node) -> bool:
    """Report whether the scores are products of two signals, and not a hard choice (Gumbel noise, a quantiser)."""
    return bool(_products(graph, softmax))


def _products(graph: SignalGraph, softmax: Node) -> tuple[int, ...]:
    """The products of two signals that a softmax reads, up to masks, factors and biases."""
    through = MASKED_AFFINE | {Operation.ADD}
    return nearest_before(graph, softmax.inputs[0], lambda n: n.operation in PAIRWISE, through=through)


def _score_spread(profile: Profile, node: Node) -> float | None:
    """Standard deviation of q·k times the factor of the scores, for independent queries and keys."""
    operands = node.inputs[:2] if len(node.inputs) > 1 else node.inputs * 2
    levels = [_level(profile, operand) for operand in operands]
    if len(levels) != 2 or any(level is None for level in levels):
        return None
    query, key = (level.forward.rms for level in levels if level is not None)
    spread = node.setting("scale", 1.0) * math.sqrt(node.setting("width", 1.0)) * query * key
    return spread if math.isfinite(spread) else None


def _level(profile: Profile, index: int) -> NodeProfile | None:
    """Return the measured moments of a signal, or of the signal that it rearranges."""
    here = profile.graph.nodes[index]
    while here.index not in profile.by_node and here.operation in COPYING and len(here.inputs) == 1:
        here = profile.graph.nodes[here.inputs[0]]
    return profile.by_node.get(here.index)


def _why_sharp(profile: Profile, node: Node) -> str:
    before = () if node.operation is Operation.ATTENTION else _products(profile.graph, node)
    terms = profile.graph.nodes[before[0]].setting("contracted") if before else node.setting("width")
    summed = f" Each is a sum of {terms:.0f} products, whose standard deviation grows like the root." if terms else ""
    return f"The scores are too large for a softmax.{summed}"


@rule("GS115", "A softmax of bounded scores cannot choose")
def squeezed_scores(profile: Profile) -> Iterator[Fault]:
    """The scores of a softmax are bounded so closely that no key or class can get most of the weight.

    What it does:
    Looks for softmaxes of attention right behind a sigmoid, a tanh or another softmax, and for a cross-entropy of
    cosines that no temperature multiplies.

    Why it matters:
    With scores between a and b the best of n keys gets at most 1 / (1 + (n - 1)·exp(a - b)), however the weights are
    trained; a cross-entropy over C classes cannot fall below log(1 + (C - 1)·exp(a - b)).

    Null hypothesis:
    Scores and logits are unbounded, or a temperature multiplies them.

    Bound and where it comes from:
    A best weight below one half, or a floor of the loss above half of log C: a warning. It is a question of structure.

    Example:
    softmax(sigmoid(score)) over fifty steps, where the best of them gets 0.05; cosine similarities with 1000 classes
    as logits.

    Remedy:
    Let the scores be unbounded, or multiply cosines by a scale of ten to thirty:

        logits = scale * F.normalize(h) @ F.normalize(w).T

    Reference:
    Wang et al. 2017, NormFace, proposition 2, for the floor of the loss.
    """
    graph = profile.graph
    for index in sorted(scores(graph)):
        node = graph.nodes[index]
        axis = int(node.setting("axis", len(node.shape) - 1))
        keys = node.shape[axis] if 0 <= axis < len(node.shape) else 0
        found = nearest_before(graph, node.inputs[0], lambda n: n.operation not in _STILL, through=_STILL)
        if node.stage != "model" or keys < 2 or len(found) != 1:
            continue
        before = graph.nodes[found[0]]
        width = 2.0 if _is_cosine(graph, before) else _width(before)
        best = 1 / (1 + (keys - 1) * math.exp(-width))
        if best < CHOOSES:
            yield Fault(
                Severity.WARNING,
                place(node),
                f"The scores come from {before.function or 'cosines'} and differ by at most {figure(width)}: of "
                f"{keys} keys the best gets at most {figure(best)}.",
                best,
                CHOOSES,
                "A bounded function in front of the softmax keeps its weights nearly equal.",
                edit("Give the softmax unbounded scores.", phrase("attention weights of unbounded scores")),
                index,
            )
            return
    yield from _cosines(profile)


_STILL = COPYING | {Operation.MASK}


def _width(node: Node) -> float:
    """Return the width of the range of a bounded function."""
    bounded = node.operation in (Operation.ACTIVATION, Operation.SOFTMAX) and node.function in RANGES
    low, high = RANGES[node.function] if bounded else (-math.inf, math.inf)
    return high - low


def _is_cosine(graph: SignalGraph, node: Node) -> bool:
    """Report whether a product is one of two signals of unit norm."""
    ends = [
        nearest_before(graph, operand, lambda n: n.operation not in COPYING, through=COPYING) for operand in node.inputs
    ]
    unit = [len(found) == 1 and graph.nodes[found[0]].function == "unit_norm" for found in ends]
    return node.operation is Operation.MATMUL and len(unit) == 2 and all(unit)


def _cosines(profile: Profile) -> Iterator[Fault]:
    """Logits that are products of two unit vectors."""
    loss, output, graph = need_loss(profile), need_output(profile), profile.graph
    node = graph.nodes[output.node]
    units = [n for n in graph.nodes if n.operation is Operation.NORMALIZATION and n.function == "unit_norm"]
    bounded = (
        output.minimum is not None and output.maximum is not None and max(-output.minimum, output.maximum) <= 1.001
    )
    product = node.operation in PAIRWISE or node.operation is Operation.LINEAR
    divided = node.operation in PAIRWISE or any(use.changes for use in node.uses_of("weight"))
    reads = nearest_before(graph, node.inputs[0], lambda n: n in units, through=LEVEL_KEEPING) if node.inputs else ()
    if loss.kind != "cross_entropy" or not (bounded and product and divided and reads) or not loss.alone:
        return
    uniform, floor = math.log(output.units), math.log(1 + (output.units - 1) * math.exp(-2))
    if output.units > 2 and floor > FLOOR * uniform and _reads_plainly(profile):
        yield Fault(
            Severity.WARNING,
            place(node),
            f"The logits are cosines, between -1 and 1: with {output.units} classes the loss cannot fall below "
            f"{figure(floor)}; log C is {figure(uniform)}.",
            floor,
            FLOOR * uniform,
            "No temperature multiplies the cosines.",
            edit("Multiply the cosines by a scale.", phrase("scaled cosines")),
            node.index,
        )


def _reads_plainly(profile: Profile) -> bool:
    """Report whether the loss takes the softmax of the output itself, and not of a multiple."""
    graph = profile.graph
    staged = [n for n in graph.nodes if n.stage == "loss" and n.operation not in COPYING]
    return bool(staged) and staged[0].operation is Operation.SOFTMAX
