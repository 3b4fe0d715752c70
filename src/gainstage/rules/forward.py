"""GS101 and GS102: the level of the signal on its way forward."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gainstage.graph import SignalGraph, residuals, stream_lengths
from gainstage.records import Profile, Severity
from gainstage.rules.cause import drift_in_words
from gainstage.rules.flow import outweighed
from gainstage.rules.layers import Layer, layers
from gainstage.rules.remedies import initialize
from gainstage.rules.table import Fault, rule
from gainstage.rules.trend import BADLY, HALFWAY, HOPELESS, Trend, trend
from gainstage.rules.words import figure, place

__all__ = ["difference_drift", "signal_drift"]


@rule("GS101", "The signal vanishes with depth", of_starts=True)
def vanishing_signal(profile: Profile) -> Iterator[Fault]:
    """The level of the signal shrinks from layer to layer until hardly anything arrives at the output.

    What it does:
    Takes the root mean square of the output of every weighted layer, by depth. Left out are layers whose output is
    normalised before anything nonlinear sees it, the output layer, embeddings, and gates whose bias outweighs their
    output a hundred times: the signal passes them through the other factor. Compares the median over the first
    quarter of the depths with that over the last quarter. Where every layer loses, so that the drift is sure, it also
    counts what the first layer loses of its input, and compares what arrives with one or with the level of the input,
    whichever is less.

    Why it matters:
    The output, and with it every gradient, is proportional to what arrives. A network that starts near zero sits on a
    plateau: all its gradients are small together, and a learning rate that leaves the plateau is too large behind it.

    Null hypothesis:
    A healthy layer keeps the level up to a factor that scatters around 1, so that the mean of its logarithm over the
    layers is zero within the standard error of their scatter. Over L layers the level then stays within a factor that
    does not grow like a power of L.

    Bound and where it comes from:
    A relative step of a weight is useful between 1e-5 and 1e-1, a window of four decades with its middle at 1e-3. All
    relative steps shrink with the signal. A fall of four decades is an error: no learning rate suits both before and
    after. Three are a warning: a window of one decade is left. Where the mean loss of a layer is more than three
    standard errors off zero over six or more layers, two are: what is the middle of the window at a level of one is
    its edge where the signal has sunk. PyTorch's default loses a factor of 2.4 a layer with relu, until its biases hold
    the level: a network of four layers arrives at 0.12.

    Example:
    Thirty relu layers with weights drawn from N(0, 0.01²): each keeps 0.08 of the level at width 128, and 1e-33 of the
    input arrives. Glorot's rule loses √2 a relu layer; of VGG16's input half a hundredth reaches the output layer.

    Remedy:
    Draw the weights with the spread that the activation asks for, √2/√fan_in with relu:

        import gainstage as gs

        gs.initialize(model, x=x)

    Reference:
    He et al. 2015, Delving Deep into Rectifiers, section 2.2; Glorot and Bengio 2010.
    """
    chain = _falling(profile)
    found = _levels(chain)
    if found is None:
        return
    if found.decades <= -BADLY:
        yield _drift(profile, chain, found, "falls")
    elif found.decades < 0 and found.systematic and _sunk(profile, found) >= HALFWAY:
        yield _sinking(profile, chain, found)


@rule("GS102", "The signal explodes with depth", of_starts=True)
def exploding_signal(profile: Profile) -> Iterator[Fault]:
    """The level of the signal grows from layer to layer.

    What it does:
    Takes the root mean square of the output of every weighted layer, by depth, as GS101 does, and looks for growth.
    Looks for growth from the first to the last position of a recurrent layer's output as well.

    Why it matters:
    Outputs of huge size make a loss far above chance, gradients that grow with them, and in the end infinities.
    Bounded activations saturate instead, and pass no gradient on.

    Null hypothesis:
    A healthy layer keeps the level up to a factor that scatters around a constant near 1. A residual stream without
    normalisation may grow by √2 a block if its branches are not scaled, which few blocks survive.

    Bound and where it comes from:
    Growth by three decades is a warning, by four an error: the window of useful relative steps, 1e-5 to 1e-1.

    Example:
    Ten relu layers of width 128 with weights drawn from N(0, 1): each multiplies the level by 8.

    Remedy:
    Draw the weights with the spread that the activation asks for; scale residual branches by 1/√branches or normalise:

        import gainstage as gs

        gs.initialize(model, x=x)

    Reference:
    He et al. 2015, section 2.2; Zhang, Dauphin and Ma 2019 (Fixup) for residual branches.
    """
    chain = [layer for layer in layers(profile) if not layer.scale_invariant and not layer.last]
    found = _levels(chain)
    if found is not None and found.decades >= BADLY:
        yield _drift(profile, chain, found, "grows")
        return
    yield from _growing_state(profile)


def _growing_state(profile: Profile) -> Iterator[Fault]:
    """The recurrent layer whose output grows most from the first position to the last."""
    grown = [
        (math.log10(at.over_time[1] / at.over_time[0]), at)
        for at in profile.nodes
        if at.over_time is not None and 0 < at.over_time[0] < at.over_time[1]
    ]
    decades, worst = max(grown, key=lambda pair: pair[0], default=(0.0, None))
    if worst is None or worst.over_time is None or decades < BADLY:
        return
    node, (first, last) = profile.node(worst), worst.over_time
    weights = [use.parameter for use in node.uses_of("state")]
    yield Fault(
        Severity.ERROR if decades >= HOPELESS else Severity.WARNING,
        place(node),
        f"The output of '{place(node)}' (root mean square) grows from {figure(first)} at the first position to "
        f"{figure(last)} at the last.",
        10**decades,
        10.0**BADLY,
        "Each position multiplies the state by the same weight, whose gain is above one, and no bounded function "
        "holds it.",
        initialize("Draw the recurrent weight orthogonal, with the gain that the activation asks for.", weights),
        node.index,
    )


def signal_drift(profile: Profile) -> Trend | None:
    """The level of the signal by depth, as GS101 and GS102 take it; None with fewer than three depths."""
    return _levels(_falling(profile))


def difference_drift(profile: Profile) -> Trend | None:
    """The root mean square difference between examples by depth, over the layers of ``signal_drift``.

    Biases hold the level of a signal whose examples have become one; they do not hold what examples differ by.
    """
    found = ((layer, layer.measured.forward) for layer in _falling(profile))
    return trend(
        (layer.depth, layer.node.index, math.sqrt(moments.variance * moments.example_share))
        for layer, moments in found
        if moments.example_share and moments.finite
    )


def _falling(profile: Profile) -> list[Layer]:
    """The layers whose level counts on the way down."""
    gates = outweighed(profile)
    return [
        layer
        for layer in layers(profile)
        if not layer.scale_invariant and not layer.last and layer.node.index not in gates
    ]


def _levels(chain: Sequence[Layer]) -> Trend | None:
    return trend((layer.depth, layer.node.index, layer.measured.forward.rms) for layer in chain)


def _sunk(profile: Profile, found: Trend) -> float:
    """Decades from one, or from the level of a quieter input, down to the end of the chain."""
    loudest = max((math.hypot(i.mean, i.spread) for i in profile.task.inputs if i.mean is not None
                   and i.spread is not None), default=1.0)  # fmt: skip
    start = min(1.0, loudest) if loudest > 0 else 1.0
    return math.log10(start / found.points[0].value) - found.decades


def _sinking(profile: Profile, chain: Sequence[Layer], found: Trend) -> Fault:
    """The finding where every layer loses a little."""
    first, last = found.ends
    nodes, decades = profile.graph.nodes, _sunk(profile, found)
    return Fault(
        Severity.WARNING,
        place(nodes[last.node]),
        f"The level of the signal (root mean square) falls at nearly every layer, from {figure(first.value)} at "
        f"'{place(nodes[first.node])}' to {figure(last.value)} at '{place(nodes[last.node])}': a factor of "
        f"{figure(found.factor)} a layer over {len(found.points)} layers, {decades:.1f} decades below the input's.",
        10**-decades,
        10.0**-HALFWAY,
        drift_in_words(profile, chain, "forward"),
        initialize("Draw the weights with the spread that holds the level of the signal that really arrives."),
        last.node,
    )


def _drift(profile: Profile, chain: Sequence[Layer], found: Trend, verb: str) -> Fault:
    first, last = found.ends
    nodes = profile.graph.nodes
    origin = found.first_beyond(BADLY)
    evidence = (
        f"The level of the signal (root mean square) {verb} from {figure(first.value)} at "
        f"'{place(nodes[first.node])}' to "
        f"{figure(last.value)} at '{place(nodes[last.node])}': a factor of {figure(found.factor)} a layer over "
        f"{len(found.points)} layers."
    )
    return Fault(
        Severity.ERROR if abs(found.decades) >= HOPELESS else Severity.WARNING,
        place(nodes[origin.node]),
        evidence,
        10**found.decades,
        10.0 ** math.copysign(BADLY, found.decades),
        _branches(profile.graph, found) + drift_in_words(profile, chain, "forward"),
        initialize("Draw the weights with the spread that holds the level of the signal that really arrives."),
        origin.node,
    )


def _branches(graph: SignalGraph, found: Trend) -> str:
    """What the residual branches of a growing stream do, where there are any."""
    most = max(stream_lengths(residuals(graph)).values(), default=0)
    if found.decades < 0 or most < 3:
        return ""
    return (
        f"A stream gathers {most} residual branches, and each adds about as much as the stream holds by then: scaled "
        f"by 1/√{most} or normalised they would add up to about one. "
    )
