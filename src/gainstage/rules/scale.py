"""GS103 and GS104: weights whose spread does not go with their number of inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from gainstage.graph import Operation, Role, SignalGraph, nearest_before
from gainstage.graph.groups import LEVEL_KEEPING
from gainstage.records import Profile, Severity
from gainstage.rules.flow import bypassed, leads_on
from gainstage.rules.layers import Layer, layers, weights_in_words
from gainstage.rules.remedies import initialize
from gainstage.rules.table import Fault, rule
from gainstage.rules.trend import BADLY
from gainstage.rules.words import figure, listed

__all__: list[str] = []

TOO_LARGE, TOO_SMALL = 10.0, 10.0**-1.5  # times 1/√fan_in
SAME = 1.1  # largest over smallest spread that counts as one and the same
_FREE = frozenset({Role.QUERY, Role.KEY, Role.BRANCH_END, Role.GATE, Role.MAGNITUDE, Role.OTHER})
_PLAIN = LEVEL_KEEPING | {Operation.ACTIVATION}


@rule("GS103", "A layer is out of scale", of_starts=True)
def out_of_scale(profile: Profile) -> Iterator[Fault]:
    """The weights of a layer are far too large or far too small for their number of inputs.

    What it does:
    Compares the root mean square of every weight with 1/√fan_in. Left out are weights behind which every way to the
    output passes a normalisation or a rescaling, output layers, queries, keys and gates, the ends of residual
    branches, small weights beside a skip, and weights that are not used as they are stored.

    Why it matters:
    One such layer changes the level of everything behind it by its factor: activations saturate or die, or what tells
    the examples apart drowns in the biases.

    Null hypothesis:
    Weights are drawn at a gain between 0.3 and 5 times 1/√fan_in. PyTorch's default has gain 0.58, He 1.41, and the
    largest gain that a common activation asks for is 4 to 5, a sigmoid's about its centre.

    Bound and where it comes from:
    A gain above 10, a decade off 1 and twice what any activation asks for; or below 0.03, a decade and a half, since
    one quiet layer costs less than a loud one.

    Example:
    A layer with 784 inputs and weights from N(0, 1) has a gain of 28.

    Remedy:
    Draw that layer anew:

        import gainstage as gs

        gs.initialize(model, "keep", x=x, overrides={"that.layer": "auto"})

    Reference:
    LeCun et al. 1998, Efficient BackProp, section 4.6.
    """
    off = [
        layer
        for layer in _unsheltered(profile)
        if not TOO_SMALL <= (layer.gain or 0.0) <= TOO_LARGE and not (layer.last or layer.role is Role.HEAD)
    ]
    if not off:
        return
    worst = max(off, key=lambda layer: abs(math.log(layer.gain or 1.0)))
    gain = worst.gain or 0.0
    names = [layer.name for layer in off]
    paths = tuple(layer.parameter.path for layer in off if layer.parameter is not None)
    words = weights_in_words(worst)
    too = "large" if gain > 1 else "small"
    yield Fault(
        Severity.WARNING,
        worst.name,
        f"{words[0].upper()}{words[1:]}; out of scale: {listed(names)}.",
        gain,
        TOO_LARGE if gain > 1 else TOO_SMALL,
        f"The spread of the weights is too {too} for {worst.kernel.fan_in if worst.kernel else 0:.6g} summed inputs: "
        "whatever arrives leaves at another level.",
        initialize("Draw these layers with a spread that goes with their number of inputs.", paths),
        worst.node.index,
    )


def _unsheltered(profile: Profile) -> tuple[Layer, ...]:
    """Layers whose own scale reaches the output: not divided out, not rescaled, not small beside a skip."""
    graph = profile.graph
    past_norms = leads_on(graph, {n.index for n in graph.nodes if n.operation is Operation.NORMALIZATION})
    return tuple(
        layer
        for layer in layers(profile)
        if layer.gain
        and layer.first
        and layer.node.index in past_norms
        and not (layer.scale_invariant or layer.role in _FREE or _rescaled(graph, layer))
        and (layer.gain > 1 or layer.node.index not in bypassed(graph))
    )


def _rescaled(graph: SignalGraph, layer: Layer) -> bool:
    after = (graph.nodes[i].operation for i in graph.consumers[layer.node.index])
    return any(operation in (Operation.SCALE, Operation.MULTIPLY) for operation in after)


@rule("GS104", "One spread for all weights, whatever their number of inputs", of_starts=True)
def one_spread(profile: Profile) -> Iterator[Fault]:
    """All weights have the same spread although their layers sum different numbers of inputs, and it does not fit.

    What it does:
    Looks at runs of layers joined by activations alone, without a normalisation or a skip between them. Where their
    weights have one spread (within 10 %) and their fan_in differs at least twofold, multiplies their gains, each times
    √(1/2) as a relu would.

    Why it matters:
    The spread that holds a level is proportional to 1/√fan_in. One number for all layers makes wide layers loud and
    narrow ones silent, and the error multiplies over depth.

    Null hypothesis:
    Every scheme in use scales its spread with the fans. Models with normalisation at every block use one spread (0.02)
    with impunity: there no two factors multiply.

    Bound and where it comes from:
    A product above 30 is a warning, since logits of that size are frozen (GS502); below 1/30 it is a note, and below a
    thousandth, where GS101 begins, a warning.

    Example:
    Layers 784 → 256 → 128 → 64 with weights from N(0, 0.01²): gains 0.28, 0.16 and 0.11.

    Remedy:
    Let the spread follow the number of inputs:

        import gainstage as gs

        gs.initialize(model, x=x)

    Reference:
    Glorot and Bengio 2010, section 4.2.
    """
    runs = [run for run in _plain_runs(profile) if run.one_spread_many_fans]
    worst = max(runs, key=lambda run: abs(run.decades), default=None)
    if worst is None or abs(worst.decades) <= BADLY / 2:
        return
    decades, (fewest, most) = worst.decades, worst.fans
    run = worst.layers()
    spread = run[0].weight.weight.rms if run[0].weight is not None else math.nan
    product = 10**decades
    yield Fault(
        Severity.WARNING if decades > 0 or decades <= -BADLY else Severity.NOTE,
        "",
        f"{len(run)} layers in a row have weights of spread {figure(spread)}, with {figure(fewest)} to "
        f"{figure(most)} inputs; together they multiply the signal by {figure(product)}.",
        product,
        10 ** math.copysign(BADLY / 2, decades),
        f"A spread of 1/√fan_in would be {figure(1 / math.sqrt(most))} at {figure(most)} inputs and "
        f"{figure(1 / math.sqrt(fewest))} at {figure(fewest)}; one number cannot fit both.",
        initialize("Let the spread of every weight follow its number of inputs."),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """A layer with the layers that lead to it through activations alone.

    Args:
        last: the layer.
        before: the run that it continues, if any.
        fans: the smallest and the largest fan_in on the run.
        spreads: the smallest and the largest root mean square of a weight.
        decades: log10 of the product of all gains, each times √(1/2).
    """

    last: Layer
    before: _Run | None
    fans: tuple[float, float]
    spreads: tuple[float, float]
    decades: float

    @classmethod
    def of(cls, layer: Layer, before: _Run | None) -> _Run:
        """Append a layer to a run, or begin one."""
        fan = layer.kernel.fan_in if layer.kernel is not None else math.nan
        spread = layer.weight.weight.rms if layer.weight is not None else math.nan
        decades = math.log10((layer.gain or 1.0) * math.sqrt(0.5))
        if before is None:
            return cls(layer, None, (fan, fan), (spread, spread), decades)
        return cls(layer, before, _widened(before.fans, fan), _widened(before.spreads, spread),
            before.decades + decades)  # fmt: skip

    @property
    def one_spread_many_fans(self) -> bool:
        """Whether the weights have one spread although their numbers of inputs differ twofold."""
        return self.fans[1] >= 2 * self.fans[0] and self.spreads[1] <= SAME * self.spreads[0]

    def layers(self) -> tuple[Layer, ...]:
        """All layers of the run, the first one first."""
        found: list[Layer] = []
        run: _Run | None = self
        while run is not None:
            found.append(run.last)
            run = run.before
        return tuple(reversed(found))


def _widened(span: tuple[float, float], value: float) -> tuple[float, float]:
    return min(span[0], value), max(span[1], value)


def _plain_runs(profile: Profile) -> list[_Run]:
    """For every layer, the run that ends with it."""
    graph = profile.graph
    runs: dict[int, _Run] = {}
    for layer in _unsheltered(profile):
        if not layer.node.inputs:
            continue
        before = nearest_before(graph, layer.node.inputs[0], lambda n: n.operation not in _PLAIN, through=_PLAIN)
        runs[layer.node.index] = _Run.of(layer, runs.get(before[0]) if before else None)
    return list(runs.values())
