"""GS105 to GS110: what single units, examples and tokens do on the way forward."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Node, Operation, SignalGraph, nearest_after
from gainstage.records import NodeProfile, Profile, Severity, UnitStats
from gainstage.rules.cause import drift_in_words
from gainstage.rules.flow import CARRIERS, leads_on, zero_nodes
from gainstage.rules.layers import layers
from gainstage.rules.need import need_examples
from gainstage.rules.remedies import edit, initialize
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.trend import BADLY, HOPELESS, trend
from gainstage.rules.words import figure, place

__all__ = ["silent_probability"]

MANY, NEARLY_ALL = 0.1, 0.9  # of a layer's units
DIM, DARK = 10.0**-BADLY, 10.0**-HOPELESS  # of the share that differences had at the start
ALIKE, EQUAL = 1e-2, 1e-3  # of √(1 − r) at the start
_GATED = CARRIERS | {Operation.NORMALIZATION}


def silent_probability(correlation: float, examples: int) -> float:
    """How likely a rectified unit of a random layer is zero for every example of a batch.

    Two examples give a random unit pre-activations of this correlation: with probability one half the share that all
    have in common is negative, and if it is large nothing makes up for it. E over u of Φ(−u √(c / (1 − c)))^examples.

    Args:
        correlation: mean uncentred cosine c between examples before the activation.
        examples: in the batch.

    >>> round(silent_probability(0.0, 3), 6), silent_probability(1.0, 3)
    (0.125, 0.5)
    """
    if correlation >= 1:
        return 0.5
    slope = math.sqrt(max(correlation, 0.0) / (1 - correlation))
    steps, reach = 400, 8.0
    total = weight = 0.0
    for i in range(steps + 1):
        u = reach * (2 * i / steps - 1)
        density = math.exp(-u * u / 2)
        total += density * (0.5 * math.erfc(u * slope / math.sqrt(2))) ** examples
        weight += density
    return total / weight


@rule("GS105", "Units are dead")
def dead_units(profile: Profile) -> Iterator[Fault]:
    """Rectified units are zero for every example of the batch, more of them than chance explains.

    What it does:
    Counts the units of every rectifying activation that are zero for all examples at all positions.

    Why it matters:
    Such a unit passes no gradient on and gets none: it stays as it is, and the layer is narrower than it looks.

    Null hypothesis:
    A unit of a random layer is negative for one example with probability one half, and for all with probability
    2^-examples. Examples that resemble each other make it likelier: with correlation c before the activation it is the
    mean over u ~ N(0, 1) of Φ(−u √(c / (1 − c)))^examples, computed for the c that was measured. That half of all
    outputs are zero is what relu does, and says nothing.

    Bound and where it comes from:
    More dead units than expected plus three standard deviations (binomial), and these more than a tenth of the layer:
    a warning. Nine tenths dead is an error, since next to nothing passes.

    Example:
    Biases of −3 in front of a relu whose inputs have level 1 silence all but a few of its units.

    Remedy:
    Draw weights and biases of the layer before anew:

        import gainstage as gs

        gs.initialize(model, batch=x)

    Reference:
    Lu et al. 2019, Dying ReLU and Initialization.
    """
    examples = need_examples(profile)
    for node, at, units in _activations(profile):
        if not units.zero or units.units < 2:
            continue
        before = profile.by_node.get(node.inputs[0]) if node.inputs else None
        stats = before.units if before is not None and before.units is not None else units
        # Without a look at its input the activation's own correlation bounds that from above: relu never lowers it.
        correlation = stats.example_correlation if stats.example_correlation is not None else 1.0
        chance = silent_probability(correlation, examples)
        expected = units.units * chance
        bound = expected + 3 * math.sqrt(max(expected * (1 - chance), 0.0)) + MANY * units.units
        bound = min(bound, NEARLY_ALL * units.units)
        if units.zero <= bound:
            continue
        share = units.zero / units.units
        yield Fault(
            Severity.ERROR if share > NEARLY_ALL else Severity.WARNING,
            place(node),
            f"{units.zero} of {units.units} units are zero for all {examples} examples; chance explains "
            f"{figure(expected)}.",
            share,
            bound / units.units,
            _why_dead(before, node.function),
            initialize("Draw the weights and biases before it anew, so that every unit is active for some examples."),
            node.index,
        )


def _why_dead(before: NodeProfile | None, function: str) -> str:
    if before is None:
        return f"What arrives at these units is on the flat side of {function} for every example."
    mean, spread = before.forward.mean, before.forward.spread
    return (
        f"What arrives has mean {figure(mean)} and spread {figure(spread)} over all elements: for these units it is on the "
        f"flat side of {function} whatever the example, which a bias or a large common part of the inputs brings about."
    )


@rule("GS106", "Bounded activations are saturated")
def saturated(profile: Profile) -> Iterator[Fault]:
    """More than half of the outputs of a hidden sigmoid or tanh sit at its bounds.

    What it does:
    Takes the share of outputs within 1 % of the range from a bound, at bounded activations that a weight reads. Gates
    (their output multiplies another signal) and the model's output are left out.

    Why it matters:
    There the slope is below 4 % of its maximum: the gradient of what lies before is multiplied by next to nothing, and
    the layer acts as a switch.

    Null hypothesis:
    At level 1 a tanh has 2 % of its outputs there and a sigmoid none. Even at spread 2 it is 25 % for tanh.

    Bound and where it comes from:
    A half: then the typical output is saturated (a spread of 3.4 in front of a tanh, 6.8 in front of a sigmoid). Beyond
    95 % it is an error: less than a twentieth of the units can learn from an example.

    Example:
    Weights from N(0, 1) at 128 inputs put a spread of 11 in front of a tanh: 84 % of its outputs are at ±1.

    Remedy:
    Draw the weights anew, or standardise the inputs if those are large:

        import gainstage as gs

        gs.initialize(model, batch=x)

    Reference:
    Glorot and Bengio 2010, section 3.
    """
    for node, _, units in _activations(profile):
        if units.saturated_share is None or units.saturated_share <= 0.5 or not _feeds_weight(profile.graph, node):
            continue
        before = profile.by_node.get(node.inputs[0]) if node.inputs else None
        arrives = f" What arrives has root mean square {figure(before.forward.rms)}." if before is not None else ""
        stuck = f"; {units.stuck} of {units.units} units are so for every example" if units.stuck else ""
        yield Fault(
            Severity.ERROR if units.saturated_share > 0.95 else Severity.WARNING,
            place(node),
            f"{units.saturated_share:.0%} of the outputs of {node.function} are within 1 % of its bounds{stuck}.",
            units.saturated_share,
            0.5,
            f"The signal in front of {node.function} is too large for it.{arrives}",
            initialize("Draw the weights before it with a spread that leaves the activation in its slope."),
            node.index,
        )


def _activations(profile: Profile) -> Iterator[tuple[Node, NodeProfile, UnitStats]]:
    for at in profile.nodes:
        node = profile.node(at)
        if node.operation is Operation.ACTIVATION and node.stage == "model" and at.units is not None:
            yield node, at, at.units


def _feeds_weight(graph: SignalGraph, node: Node) -> bool:
    """Whether a weight reads a node's output, up to a factor or a normalisation."""
    stop = (Operation.MULTIPLY, Operation.MATMUL, Operation.ATTENTION)
    found = nearest_after(graph, node.index, lambda n: n.operation.weighted or n.operation in stop, through=_GATED)
    return bool(found) and all(graph.nodes[i].operation.weighted for i in found)


@rule("GS107", "A softmax on a hidden layer")
def hidden_softmax(profile: Profile) -> Iterator[Fault]:
    """A softmax stands between two layers, where an activation is meant.

    What it does:
    Looks for a softmax (or log-softmax) of more than one unit whose output a weight reads. Attention, where it weights
    other signals, is left out.

    Why it matters:
    Its outputs sum to one: n units share a level of 1/n, their differences are of that size too, and so is the
    gradient. What tells examples apart shrinks by about n, once for every such layer.

    Null hypothesis:
    Healthy networks use softmax at the output and as the weights of attention, mixtures and gates, all of which
    multiply another signal.

    Bound and where it comes from:
    None: it is a question of structure. The measured level is given as evidence.

    Example:
    nn.Sequential(nn.Linear(64, 128), nn.Softmax(dim=1), nn.Linear(128, 10)).

    Remedy:
    Use an activation that works element by element:

        nn.ReLU()            # instead of nn.Softmax(dim=1)

    Reference:
    Goodfellow, Bengio and Courville 2016, Deep Learning, section 6.2.2.3.
    """
    for node in profile.graph.nodes:
        axis = int(dict(node.settings).get("axis", len(node.shape) - 1))
        wide = 0 <= axis < len(node.shape) and node.shape[axis] > 1
        if node.operation is not Operation.SOFTMAX or node.stage != "model" or node.part_of is not None or not wide:
            continue
        if not node.from_input or not _feeds_weight(profile.graph, node):
            continue
        at, size = profile.by_node.get(node.index), node.shape[axis]
        spread = f" They vary by {figure(at.forward.spread)} (spread over all elements)." if at is not None else ""
        yield Fault(
            Severity.WARNING,
            place(node),
            f"{node.function or 'softmax'} over {size} units feeds another layer; its outputs are {figure(1 / size)} on "
            f"average.{spread}",
            1 / size,
            1.0,
            "A softmax makes its units share a sum of one, so the signal and its gradient shrink with their number.",
            edit("Replace the hidden softmax by an elementwise activation.", "nn.ReLU()  # instead of nn.Softmax(...)"),
            node.index,
        )


@rule("GS108", "An exponential on a hidden layer")
def hidden_exponential(profile: Profile) -> Iterator[Fault]:
    """An exponential stands between two layers, where an activation is meant.

    What it does:
    Looks for exp whose output a weight reads. Exponentials inside a softmax or a loss, and those that multiply another
    signal (a learned variance, a temperature), are left out.

    Why it matters:
    Its output and its slope grow without bound: at level q the second moment is e^(2q), so a level of 5 becomes 22,000,
    and the next exponential overflows.

    Null hypothesis:
    Healthy networks use activations that grow no faster than their input.

    Bound and where it comes from:
    None: it is a question of structure. The measured level is given as evidence.

    Example:
    torch.exp(self.hidden(x)) as the input of another layer.

    Remedy:
    Use an activation of linear growth; softplus where the output must be positive:

        torch.nn.functional.softplus(h)   # instead of torch.exp(h)

    Reference:
    Poole et al. 2016, the variance map of an activation.
    """
    for node in profile.graph.nodes:
        exponential = node.operation is Operation.ACTIVATION and node.function in ("exp", "expm1", "exp2")
        if (
            not exponential
            or node.stage != "model"
            or node.part_of is not None
            or not _feeds_weight(profile.graph, node)
        ):
            continue
        at = profile.by_node.get(node.index)
        level = at.forward.rms if at is not None else math.nan
        yield Fault(
            Severity.WARNING,
            place(node),
            f"{node.function} feeds another layer; its output has root mean square {figure(level)}.",
            level if math.isfinite(level) else 0.0,
            1.0,
            "An exponential multiplies differences instead of passing them on; its output grows faster than any power.",
            edit("Replace the hidden exponential.", "torch.nn.functional.softplus(h)  # instead of torch.exp(h)"),
            node.index,
        )


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
    Relu at He's gain lets differences fall like a power of depth (to 7 % of the whole after 50 layers), tanh at a small
    level hardly at all; normalisation over the batch restores them at every layer. Only the change from the first layer
    on counts: inputs that resemble each other are no fault of the network.

    Bound and where it comes from:
    A thousandth of the first layer's share is a warning, a ten-thousandth an error: the window of useful relative steps,
    1e-5 to 1e-1. A step that moves what the examples share by its own size then moves their differences by nothing.

    Example:
    Twelve sigmoid layers at PyTorch's default: each passes on 0.14 of a difference and all of the mean.

    Remedy:
    Draw the weights so that differences survive; with sigmoid-like functions the biases have to take the mean off:

        import gainstage as gs

        gs.initialize(model, batch=x)

    Reference:
    Schoenholz et al. 2017, Deep Information Propagation; Poole et al. 2016.
    """
    need_examples(profile)
    zeros = zero_nodes(profile)
    chain = [layer for layer in layers(profile) if layer.node.index not in zeros]
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
        f"Differences between examples make up {figure(start)} of the spread at '{place(nodes[found.points[0].node])}' and "
        f"{figure(found.end)} towards the output.",
        left,
        DIM,
        drift_in_words(profile, [layer for layer in chain if not layer.forgiven] or chain, "backward"),
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
    With skips and feed-forward layers r rises slowly and stays below 1. Attention's own output is nearly the same at all
    positions at the start of training, which is no fault where a skip goes around it.

    Bound and where it comes from:
    1 % of the difference at the start is a warning: beyond that √(1 − r) comes near what single precision resolves in r
    (2^-12). A thousandth is an error.

    Example:
    Twelve attention layers without skip connections: r is 1 to seven digits after three of them.

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
        "Attention averages over positions, and nothing on the way brings their differences back: no skip goes around it, "
        "or the skip is far smaller than the branch.",
        edit("Let a skip go around every attention.", "x = x + self.attention(self.norm(x))"),
        last.index,
    )
