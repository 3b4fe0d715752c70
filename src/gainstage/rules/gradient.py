"""GS2xx: the gradient on its way back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from gainstage.graph import Role
from gainstage.records import Profile, Remedy, Severity
from gainstage.rules.cause import drift_in_words
from gainstage.rules.flow import closed_nodes, leads_on
from gainstage.rules.layers import Layer, layers
from gainstage.rules.need import need_backward
from gainstage.rules.remedies import edit, initialize
from gainstage.rules.table import Fault, rule
from gainstage.rules.trend import BADLY, HOPELESS, Trend, trend
from gainstage.rules.words import figure, place

__all__ = ["gradient_drift"]

# Their gradients are small by nature: scores change attention little while it is nearly uniform.
_SIDEWAYS = frozenset({Role.QUERY, Role.KEY})
EVEN = 1.0  # decade


@rule("GS201", "The gradient vanishes towards the input")
def vanishing_gradient(profile: Profile) -> Iterator[Fault]:
    """The gradient shrinks on its way back, so that the first layers hardly move.

    What it does:
    Takes, by depth, the norm of the loss's gradient by the output of every weighted layer (all elements together), and
    the norm of the gradient by its weight over the norm of that weight. Compares the first quarter of the depths with
    the last. Both must fall towards the input; the smaller fall counts.

    Why it matters:
    One learning rate serves all layers. Where it moves the last ones usefully, the first ones stay as they were drawn,
    and the rest of the network learns on top of random features that depth has blurred.

    Null hypothesis:
    With Var W = g²/fan_in the norm of the gradient is multiplied by g √E f'² a layer, whatever the widths, strides and
    sizes on the way: elements become more as each becomes smaller. In a healthy network that factor scatters around 1.
    Where a normalisation follows, both norms are taken times the scale that it divides out. Output layers, queries and
    keys do not count, nor do layers in branches that start closed (a scale of zero, or a layer scale of 1e-6).

    Bound and where it comes from:
    Three decades are a warning, four an error. A relative step is useful between 1e-5 and 1e-1: layers four decades
    apart leave no learning rate that serves both, three leave a window of one decade. Never an absolute size, which
    the scale of the loss moves.

    Example:
    Twelve sigmoid layers at PyTorch's default: the slope passes on 0.24, the weights 0.58, together 0.14 a layer.

    Remedy:
    Draw the weights with the gain that holds the gradient, the biases so that they take a sigmoid's mean off:

        import gainstage as gs

        gs.initialize(model, x=x)

    Reference:
    Hochreiter 1991; Glorot and Bengio 2010; Schoenholz et al. 2017.
    """
    found = _gradient_drift(profile)
    if found is not None and found[1].decades >= BADLY:
        yield _drift(profile, *found, "falls")


@rule("GS202", "The gradient explodes towards the input")
def exploding_gradient(profile: Profile) -> Iterator[Fault]:
    """The gradient grows on its way back, so that the first layers are torn apart.

    What it does:
    Measures what GS201 measures, and looks for growth towards the input.

    Why it matters:
    A step that is right for the last layers replaces the first ones; a learning rate that spares those leaves the rest
    where it is. In deep plain networks the gradient is chaotic as well: it says nothing about a step of finite size.

    Null hypothesis:
    The factor a layer scatters around 1. Batch normalisation without skips multiplies by √(π/(π−1)) = 1.21 a relu
    layer whatever the weights, which sixteen layers survive and fifty do not.

    Bound and where it comes from:
    Three decades are a warning, four an error: the window of useful relative steps, 1e-5 to 1e-1. A note where the
    optimizer's own first step does not follow the growth (its size relative to the weights drifts by less than a
    decade) and most weights are followed by a normalisation, so that their scale is free: such networks are known to
    train.

    Example:
    Thirty tanh layers of width 128 with weights from N(0, 1): saturated, and yet each multiplies the gradient by 2.4.

    Remedy:
    Draw the weights smaller; where a batch normalisation does it, add skips:

        import gainstage as gs

        gs.initialize(model, x=x)

    Reference:
    Pascanu, Mikolov and Bengio 2013; Yang et al. 2019, A Mean Field Theory of Batch Normalization.
    """
    found = _gradient_drift(profile)
    if found is not None and found[1].decades <= -BADLY:
        fault = _drift(profile, *found, "grows")
        yield replace(fault, severity=Severity.NOTE) if _divided_out(found[0]) else fault


def _divided_out(chain: Sequence[Layer]) -> bool:
    """Whether the optimizer's first step is of one relative size at all depths, on weights whose scale is free."""
    if 2 * sum(layer.scale_invariant for layer in chain) <= len(chain):
        return False
    steps = trend(
        (layer.depth, layer.node.index, layer.weight.update or 0.0)
        for layer in chain
        if layer.first and layer.weight is not None
    )
    return steps is not None and abs(steps.decades) < EVEN


def gradient_drift(profile: Profile) -> Trend | None:
    """The gradient by depth, as GS201 and GS202 take it; None where there is none, or where its two measures disagree.

    Raises:
        Lacking: no backward pass was made.
    """
    found = _gradient_drift(profile)
    return None if found is None else found[1]


def _gradient_drift(profile: Profile) -> tuple[Sequence[Layer], Trend] | None:
    """The layers that count and the weaker of both trends; None where there is none or they disagree."""
    need_backward(profile)
    open_ = leads_on(profile.graph, closed_nodes(profile))
    chain = [
        layer
        for layer in layers(profile)
        if layer.node.index in open_ and not layer.last and layer.role not in _SIDEWAYS
    ]
    signal = trend((layer.depth, layer.node.index, _signal(layer)) for layer in chain)
    weights = trend((layer.depth, layer.node.index, _weight(layer)) for layer in chain if layer.first)
    if signal is None or weights is None or signal.decades * weights.decades <= 0:
        return None
    return chain, signal if abs(signal.decades) <= abs(weights.decades) else weights


def _signal(layer: Layer) -> float:
    """Norm of the gradient by a layer's output, free of a scale that is divided out."""
    if layer.measured.backward is None:
        return 0.0
    norm = layer.measured.backward.norm
    return norm * layer.measured.forward.rms if layer.scale_invariant else norm


def _weight(layer: Layer) -> float:
    """‖gradient‖ / ‖weight‖; where the scale is divided out, what it would be at a spread of 1/√fan_in."""
    if layer.weight is None or layer.weight.relative_gradient is None or layer.kernel is None:
        return 0.0
    relative = layer.weight.relative_gradient
    if not layer.scale_invariant:
        return relative
    natural = math.sqrt(layer.weight.weight.count / layer.kernel.fan_in)
    return relative * (layer.weight.weight.norm / natural) ** 2


def _drift(profile: Profile, chain: Sequence[Layer], found: Trend, verb: str) -> Fault:
    nodes = profile.graph.nodes
    first, last = found.ends
    points = {p.node for p in found.points}
    measured = {layer.node.index: layer for layer in chain if layer.node.index in points}
    low, high = measured[first.node], measured[last.node]
    start, end = (at.measured.backward.norm if at.measured.backward is not None else math.nan for at in (high, low))
    evidence = (
        f"The norm of the gradient {verb} from {figure(start)} at '{high.name}' to {figure(end)} at '{low.name}': a "
        f"factor of {figure(1 / found.factor)} a layer over {len(found.points)} layers."
    )
    return Fault(
        Severity.ERROR if abs(found.decades) >= HOPELESS else Severity.WARNING,
        place(nodes[first.node]),
        evidence,
        10**-found.decades,
        10.0 ** -math.copysign(BADLY, found.decades),
        *_cause_and_remedy(profile, chain),
        first.node,
    )


def _cause_and_remedy(profile: Profile, chain: Sequence[Layer]) -> tuple[str, Remedy]:
    """New weights, unless normalisations divide their scale out again and multiply the gradient by themselves."""
    free = [layer for layer in chain if not layer.scale_invariant]
    if 2 * len(free) >= len(chain):
        remedy = initialize("Draw the weights with the gain that holds the gradient at the level that arrives.")
        return drift_in_words(profile, free, "backward"), remedy
    return (
        "A normalisation behind every layer divides the scale of its weights out, so no weights help: normalising and "
        "the activation multiply the gradient (batch normalisation and relu by 1.21 a layer), and nothing goes around.",
        edit("Let a skip go around every few normalised layers.", "x = x + self.block(x)"),
    )
