"""GS105 and GS106: what single units do on the way forward."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Node, Operation, SignalGraph, nearest_before
from gainstage.graph.groups import LEVEL_KEEPING, NONLINEAR
from gainstage.records import NodeProfile, Profile, Severity, UnitStats
from gainstage.rules.flow import feeds_weights
from gainstage.rules.need import need_examples
from gainstage.rules.remedies import initialize
from gainstage.rules.table import Fault, rule
from gainstage.rules.words import figure, place

__all__ = ["silent_probability"]

MANY, NEARLY_ALL = 0.1, 0.9  # of a layer's units
SHIFTED = 4.0  # standard errors of a mean over units
BY_CHANCE = 1e-3  # probability, over all activations of a network


def silent_probability(correlation: float, examples: float) -> float:
    """How likely a rectified unit of a random layer is zero for every example of a batch.

    Two examples give a random unit pre-activations of this correlation: with probability one half the share that all
    have in common is negative, and if it is large nothing makes up for it. E over u of Φ(−u √(c / (1 − c)))^examples.

    Args:
        correlation: mean uncentred cosine c between examples before the activation.
        examples: how many independent ones.

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
    A unit of a random layer is negative for one example with probability one half, and for all n independent ones with
    2^-n. Examples that resemble each other make it likelier: with correlation c before the activation it is the mean
    over u ~ N(0, 1) of Φ(−u √(c / (1 − c)))^n, computed for the c that was measured. Of N examples n = 1 + (N − 1)(1 −
    c) count as independent, and at most two for each input of the layer before. Deep relu networks at He's gain lose
    units that way. All this holds for units that are as often positive as negative; where the mean of what arrives is
    below zero by more than sampling explains (four times its root mean square over √units), it is 2^-n. That half of
    all outputs are zero says nothing.

    Bound and where it comes from:
    So many dead units have a binomial probability below 1/1000 over all activations of the network together, and they
    are a tenth of the layer more than expected: a warning. Nine tenths dead is an error, since next to nothing passes.
    Eight units behind a global average, which sees nearly the same for all examples, may all be dead by chance. An
    activation that is zero everywhere while the outputs of different examples are equal is an error, also by chance.

    Example:
    Biases of −3 in front of a relu whose inputs have level 1: 84 % of the units are zero for all of 128 examples.

    Remedy:
    Draw weights and biases of the layer before anew:

        import gainstage as gs

        gs.initialize(model, x=x)

    Reference:
    Lu et al. 2019, Dying ReLU and Initialization.
    """
    examples = need_examples(profile)
    activations = tuple(_activations(profile))
    for node, units in activations:
        if not units.zero:
            continue
        if units.zero == units.units and profile.reactions is not None and profile.reactions.equal:
            yield _all_dead(profile, node, examples)
            continue
        if units.units < 2:
            continue
        before = profile.by_node.get(node.inputs[0]) if node.inputs else None
        alike, correlation = _correlation(before, units)
        independent = min(1 + (examples - 1) * (1 - alike), 2 * _dimension(profile.graph, node))
        chance = silent_probability(correlation, independent)
        expected = units.units * chance
        if _tail(units.zero, units.units, chance) * len(activations) > BY_CHANCE:
            continue
        if units.zero - expected <= MANY * units.units:
            continue
        share = units.zero / units.units
        yield Fault(
            Severity.ERROR if share > NEARLY_ALL else Severity.WARNING,
            place(node),
            f"{units.zero} of {units.units} units are zero for all {examples} examples; chance explains "
            f"{figure(expected)}.",
            share,
            chance + MANY,
            _why_dead(before, node.function),
            initialize("Draw the weights and biases before it anew, so that every unit is active for some examples."),
            node.index,
        )


def _all_dead(profile: Profile, node: Node, examples: int) -> Fault:
    """The finding where one activation is zero everywhere and the output is the same for all examples."""
    before = profile.by_node.get(node.inputs[0]) if node.inputs else None
    return Fault(
        Severity.ERROR,
        place(node),
        f"Everything behind {node.function} is zero for all {examples} examples, and all outputs are equal.",
        1.0,
        NEARLY_ALL,
        _why_dead(before, node.function),
        initialize("Draw the weights and biases before it anew, so that it is active for some examples."),
        node.index,
    )


def _correlation(before: NodeProfile | None, units: UnitStats) -> tuple[float, float]:
    """Correlation between examples before the activation, and how much of it may silence a unit by chance.

    Nothing of it where a shift of all units below zero is the reason.
    """
    if before is None or before.units is None:
        # The activation's own correlation bounds that of its input from above: a rectifier never lowers it.
        known = units.example_correlation if units.example_correlation is not None else 1.0
        return known, known
    arrives = before.forward
    measured = before.units.example_correlation
    known = min(max(measured, 0.0), 1.0) if measured is not None else 1.0
    return known, 0.0 if arrives.mean < -SHIFTED * arrives.rms / math.sqrt(units.units) else known


def _dimension(graph: SignalGraph, node: Node) -> float:
    """Dimension of what the layer before an activation reads: examples on a line point in two directions only."""
    before = (
        nearest_before(graph, node.index, lambda n: n.operation.weighted, through=LEVEL_KEEPING | NONLINEAR)
        if node.inputs
        else ()
    )
    kernels = [kernel.fan_in for i in before if (kernel := graph.nodes[i].kernel) is not None]
    return min(kernels, default=math.inf)


def _tail(least: int, units: int, chance: float) -> float:
    """Probability that at least so many of the units are silent, each by that chance: the binomial tail.

    >>> round(_tail(1, 2, 0.5), 6), round(_tail(8, 8, 0.5), 6)
    (0.75, 0.003906)
    """
    if chance <= 0:
        return 0.0
    if chance >= 1:
        return 1.0
    log, log_other = math.log(chance), math.log1p(-chance)
    terms = (
        math.lgamma(units + 1) - math.lgamma(k + 1) - math.lgamma(units - k + 1) + k * log + (units - k) * log_other
        for k in range(least, units + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def _why_dead(before: NodeProfile | None, function: str) -> str:
    if before is None:
        return f"What arrives at these units is on the flat side of {function} for every example."
    mean, spread = before.forward.mean, before.forward.spread
    return (
        f"What arrives has mean {figure(mean)} and spread {figure(spread)} over all elements: for these units it is "
        "on the "
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
    A half: then the typical output is saturated (a spread of 3.4 in front of a tanh, 6.8 in front of a sigmoid).
    Beyond 95 % it is an error: less than a twentieth of the units can learn from an example.

    Example:
    Weights from N(0, 1) at 128 inputs put a spread of 11 in front of a tanh: 84 % of its outputs are at ±1.

    Remedy:
    Draw the weights anew, or standardise the inputs if those are large:

        import gainstage as gs

        gs.initialize(model, x=x)

    Reference:
    Glorot and Bengio 2010, section 3.
    """
    for node, units in _activations(profile):
        if units.saturated_share is None or units.saturated_share <= 0.5 or not feeds_weights(profile.graph, node):
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


def _activations(profile: Profile) -> Iterator[tuple[Node, UnitStats]]:
    for at in profile.nodes:
        node = profile.node(at)
        if node.operation is Operation.ACTIVATION and node.stage == "model" and at.units is not None:
            yield node, at.units
