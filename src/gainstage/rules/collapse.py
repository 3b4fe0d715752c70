"""GS109 and GS110: examples, or tokens, that become one on the way forward."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Operation
from gainstage.records import Profile, Severity
from gainstage.rules.cause import drift_in_words
from gainstage.rules.flow import leads_on, live_zeros, reaches_past
from gainstage.rules.layers import layers
from gainstage.rules.need import need_examples
from gainstage.rules.remedies import edit, initialize
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.trend import BADLY, HOPELESS, trend
from gainstage.rules.words import figure, place

__all__: list[str] = []

DIM, DARK = 10.0**-BADLY, 10.0**-HOPELESS  # of the share that differences had at the start
ALIKE, EQUAL = 1e-2, 1e-3  # of √(1 − r) at the start


@rule("GS109", "All inputs become one")
def collapse(profile: Profile) -> Iterator[Fault]:
    """What tells examples apart shrinks with depth against what they have in common.

    What it does:
    Takes, at every weighted layer, the root of the share of variance across examples (each unit at each position
    compared over the examples only), and compares the last quarter of the depths with the first layer.

    Why it matters:
    The layers behind see almost the same vector for every input. What they learn first is the mean of the labels, and
    the gradients of different examples cancel instead of adding up.

    Null hypothesis:
    Relu at He's gain lets differences fall like a power of depth (to 11 % of the whole after 50 layers), tanh at a
    small level hardly at all; normalisation over the batch restores them at every layer. Only the change from the
    first layer on counts: inputs that resemble each other are no fault of the network.

    Bound and where it comes from:
    A thousandth of the first layer's share is a warning, a ten-thousandth an error: the window of useful relative
    steps, 1e-5 to 1e-1. A step that moves what the examples share by its own size then moves their differences by
    nothing.

    Example:
    Twelve sigmoid layers at PyTorch's default: each passes on 0.14 of a difference and all of the mean.

    Remedy:
    Draw the weights so that differences survive; with sigmoid-like functions the biases have to take the mean off:

        import gainstage as gs

        gs.initialize(model, x=x)

    Reference:
    Schoenholz et al. 2017, Deep Information Propagation; Poole et al. 2016.
    """
    need_examples(profile)
    zeros = live_zeros(profile)
    open_ = reaches_past(profile, zeros)
    chain = [layer for layer in layers(profile) if layer.node.index in open_ and layer.node.index not in zeros]
    shares = [
        (layer.depth, layer.node.index, math.sqrt(share))
        for layer in chain
        if (share := layer.measured.forward.example_share) is not None
    ]
    found = trend(shares)
    if found is None:
        return
    start = found.points[0].value
    left = found.end / start
    if left > DIM:
        return
    origin = next((p for p in found.points if p.value / start <= DIM), found.points[-1])
    nodes = profile.graph.nodes
    yield Fault(
        Severity.ERROR if left < DARK else Severity.WARNING,
        place(nodes[origin.node]),
        f"Differences between examples make up {figure(start)} of the spread at "
        f"'{place(nodes[found.points[0].node])}' and "
        f"{figure(found.end)} towards the output.",
        left,
        DIM,
        drift_in_words(profile, [layer for layer in chain if not layer.scale_invariant] or chain, "backward"),
        initialize("Draw the weights so that differences between examples survive depth."),
        origin.node,
    )


@rule("GS110", "All tokens become one")
def token_collapse(profile: Profile) -> Iterator[Fault]:
    """The positions of a sequence become equal with depth.

    What it does:
    Takes the correlation r between two positions of one example along the stream (sums and normalisations; attention
    itself where there is nothing else), and compares √(1 − r) at the end with the start.

    Why it matters:
    Attention over equal tokens returns that token: nothing that depends on position or content is left to learn from,
    and the gradients of queries and keys vanish.

    Null hypothesis:
    With skips and feed-forward layers r rises slowly and stays below 1. Attention's own output is nearly the same at
    all positions at the start of training, which is no fault where a skip goes around it.

    Bound and where it comes from:
    1 % of the difference at the start is a warning: beyond that √(1 − r) comes near what single precision resolves in
    r (2^-12). A thousandth is an error.

    Example:
    Twelve attention layers without skips, at PyTorch's default: r is 0.76 behind the first and 0.99999 or more behind
    every other.

    Remedy:
    Add a skip around every attention and keep the feed-forward layers:

        x = x + self.attention(self.norm(x))

    Reference:
    Dong, Cordonnier and Loukas 2021, Attention Is Not All You Need; Noci et al. 2022.
    """
    open_ = leads_on(profile.graph)
    seen = [
        (profile.node(at), at.units.token_correlation)
        for at in profile.nodes
        if at.units is not None and at.units.token_correlation is not None and at.node in open_
    ]
    if not seen:
        raise Lacking("no stream of tokens was measured")
    stream = [(node, r) for node, r in seen if node.operation is not Operation.ATTENTION] or seen
    (first, before), (last, after) = stream[0], stream[-1]
    start, end = math.sqrt(max(1 - before, 0.0)), math.sqrt(max(1 - after, 0.0))
    if len(stream) < 2 or not start > 0 or end / start > ALIKE:
        return
    yield Fault(
        Severity.ERROR if end / start < EQUAL else Severity.WARNING,
        place(last),
        f"The correlation between two positions rises from {before:.6g} at '{place(first)}' to {after:.6g} at "
        f"'{place(last)}'.",
        end / start,
        ALIKE,
        "Attention averages over positions, and nothing on the way brings their differences back: no skip goes "
        "around it, "
        "or the skip is far smaller than the branch.",
        edit("Let a skip go around every attention.", "x = x + self.attention(self.norm(x))"),
        last.index,
    )
