"""GS4xx: normalisations and what goes around them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Node, Operation, SignalGraph
from gainstage.records import ParameterProfile, Profile, Severity
from gainstage.rules.flow import ends_in, leads_on, zero_nodes
from gainstage.rules.remedies import edit, initialize, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure, listed, place

__all__: list[str] = []

ENOUGH = 100  # values a channel: statistics uncertain by a tenth
UNFIT = 10.0  # times the level that scale and shift ask for
STARVED = 0.1  # of the level that a normalisation gives to anything but its eps


@rule("GS401", "A batch of one under batch normalisation")
def batch_of_one(profile: Profile) -> Iterator[Fault]:
    """Batch normalisation in training mode sees one example.

    What it does:
    Looks for a batch normalisation in training mode when the batch holds a single example, and counts the values of a
    channel that its statistics are made of.

    Why it matters:
    It subtracts from the example its own mean: over positions all that is left is their differences, and without
    positions it is zero, for every input. Running statistics take that in, too.

    Null hypothesis:
    With n values a channel the statistics are uncertain by 1/√n. One image of thousands of positions, as in
    segmentation, gives statistics that are as good as those of a batch.

    Bound and where it comes from:
    One example of fewer than a hundred positions: an uncertainty above a tenth. From two examples on it is noisy, not
    wrong.

    Example:
    loader = DataLoader(data, batch_size=1) with an nn.BatchNorm2d in the model.

    Remedy:
    A larger batch, or a normalisation within the example:

        nn.GroupNorm(32, channels)   # instead of nn.BatchNorm2d(channels)

    Reference:
    Ioffe and Szegedy 2015; Wu and He 2018, Group Normalization.
    """
    if profile.task.examples != 1:
        return
    nodes = [
        n
        for n in _normalizations(profile)
        if n.function == "batch_norm" and dict(n.settings).get("training") == 1 and _values(n) < ENOUGH
    ]
    if nodes:
        yield Fault(
            Severity.WARNING,
            place(nodes[0]),
            f"{len(nodes)} batch normalisations compare one example with itself, over {_values(nodes[0])} values a "
            "channel.",
            float(_values(nodes[0])),
            float(ENOUGH),
            "The batch holds one example of few positions.",
            edit(
                "Use a larger batch, or a normalisation within the example.",
                phrase("a normalisation within the example"),
            ),
            nodes[0].index,
        )


def _values(node: Node) -> int:
    """Values that the statistics of one channel are made of."""
    channels = node.shape[node.unit_axis] if node.unit_axis is not None else node.shape[-1]
    return math.prod(node.shape) // max(channels, 1)


@rule("GS402", "A normalisation gets next to nothing")
def starved_normalization(profile: Profile) -> Iterator[Fault]:
    """What a normalisation divides by is its eps, not the spread of the signal.

    What it does:
    Compares the spread of a normalisation's output with the root mean square of its scale. They agree unless eps
    outweighs the variance that arrives.

    Why it matters:
    The signal is multiplied by up to 1/√eps, 316 at the usual 1e-5, and still does not have the level that the layers
    behind were drawn for; what arrives is constant or nearly so, and what is amplified is rounding.

    Null hypothesis:
    A normalisation gives every channel (or every example) variance 1, times its scale; sampling does not matter, since
    it divides by the very statistics it measured.

    Bound and where it comes from:
    A tenth of the expected spread, a decade: then the variance that arrives is below a hundredth of eps.

    Example:
    Convolutions with weights from N(0, 1e-5²) in front of a batch normalisation; a constant input.

    Remedy:
    Draw the weights before it larger; give the input some variation:

        import gainstage as gs

        gs.initialize(model, x=x)

    Reference:
    Ioffe and Szegedy 2015, eq. 1 to 4.
    """
    starved: list[tuple[Node, float]] = []
    judged = False
    for node in _normalizations(profile):
        at = profile.by_node.get(node.index)
        in_evaluation = node.function == "batch_norm" and dict(node.settings).get("training") != 1
        if at is None or in_evaluation or not at.forward.finite or 0 in node.shape:
            continue
        scale = _scale(profile, node)
        if scale is None or scale.weight.rms == 0:
            continue
        judged = True
        share = at.forward.spread / scale.weight.rms
        if share < STARVED and node.function not in ("rms_norm", "unit_norm"):
            starved.append((node, share))
    if not judged and any(True for _ in _normalizations(profile)):
        raise Lacking("no normalisation with a scale was measured")
    # A batch of one is a fault of its own; it leaves every normalisation without variance.
    if starved and profile.task.examples > 1:
        node, share = starved[0]
        yield Fault(
            Severity.WARNING,
            place(node),
            f"The output has {figure(share)} of the spread that its scale asks for; so have {len(starved)} "
            f"normalisations: {listed([place(n) for n, _ in starved])}.",
            share,
            STARVED,
            f"The variance that arrives is far below eps ({dict(node.settings).get('eps', 1e-5):g}).",
            initialize("Draw the weights before it larger."),
            node.index,
        )


@rule("GS403", "A scale of zero with no way around it")
def zero_scale(profile: Profile) -> Iterator[Fault]:
    """A normalisation (or a layer scale) starts at zero and everything has to pass it.

    What it does:
    Looks for scales that are zero in every element. On a branch beside a skip that is a good start, and is left out:
    the input must still reach the loss when nothing passes any of the zeros.

    Why it matters:
    The output is the same for every input, everything before gets no gradient, and behind a relu the scale itself gets
    none either.

    Null hypothesis:
    Scales start at one; at zero only where a skip carries the signal.

    Bound and where it comes from:
    Exactly zero, and structure. An error if the gradient of the scale is zero as well, else a warning.

    Example:
    nn.init.zeros_(norm.weight) for every norm, where only the last of each residual branch was meant.

    Remedy:
    Start it at one:

        nn.init.ones_(norm.weight)

    Reference:
    Goyal et al. 2017, section 5.1, for the zero that is meant; Zhang, Dauphin and Ma 2019.
    """
    graph = profile.graph
    zeros = zero_nodes(profile)
    scaled = frozenset(i for i in zeros if graph.nodes[i].operation in (Operation.NORMALIZATION, Operation.SCALE))
    if not scaled or ends_in(graph, graph.inputs, scaled):
        return
    blocking = _blocking(graph, scaled) or sorted(scaled)
    node = graph.nodes[blocking[0]]
    scale = _scale(profile, node)
    stuck = scale is not None and (scale.gradient is None or scale.gradient.second_moment == 0)
    paths = [_scale_path(graph.nodes[i]) for i in blocking]
    yield Fault(
        Severity.ERROR if stuck and profile.backward else Severity.WARNING,
        place(node),
        f"{len(blocking)} scales are zero in every element, and the input has no way around: {listed(paths)}.",
        0.0,
        1.0,
        "What is multiplied by zero is the same for every input; no skip carries the signal past it.",
        edit("Start these scales at one.", phrase("a scale of one")),
        node.index,
    )


@rule("GS404", "Stored statistics do not fit what arrives")
def unfit_statistics(profile: Profile) -> Iterator[Fault]:
    """A batch normalisation uses stored statistics, and its output is ten times as large as its scale asks for.

    What it does:
    Compares the root mean square of the output of a batch normalisation in evaluation mode with that of its scale and
    shift.

    Why it matters:
    A normalisation that has seen no data divides by one: it passes raw inputs on as they are, and the layers behind
    were drawn for unit level.

    Null hypothesis:
    Statistics of the same kind of data leave each channel with variance one, times its scale. Data of another source
    are off by a factor of a few.

    Bound and where it comes from:
    A factor of ten, a decade: a warning.

    Example:
    model.eval() before the first step of training, with images of 0 to 255.

    Remedy:
    Train in training mode, or load the statistics that belong to the weights:

        model.train()

    Reference:
    Ioffe and Szegedy 2015, algorithm 2.
    """
    stored = [n for n in _normalizations(profile) if n.function == "batch_norm" and n.setting("training", 1.0) != 1]
    for node in stored:
        at, scale = profile.by_node.get(node.index), _scale(profile, node)
        shift = next((profile.by_path.get(u.parameter) for u in node.uses_of("shift")), None)
        wanted = math.hypot(scale.weight.rms if scale else 1.0, shift.weight.rms if shift else 0.0)
        if at is None or not wanted > 0 or not at.forward.rms > UNFIT * wanted:
            continue
        yield Fault(
            Severity.WARNING,
            place(node),
            f"The output has root mean square {figure(at.forward.rms)}; its scale and shift ask for {figure(wanted)}.",
            at.forward.rms / wanted,
            UNFIT,
            "The stored mean and variance are those of other data, or of none: they start at zero and one.",
            edit("Train in training mode, or load the statistics.", phrase("a model in training mode")),
            node.index,
        )
        return


def _blocking(graph: SignalGraph, scaled: frozenset[int]) -> list[int]:
    """Those of the nodes without which the input would get through: a way from it to the loss passes no other one."""
    onward = leads_on(graph, scaled)
    reached = set(graph.inputs)
    for node in graph.nodes:
        if node.index in reached and node.index not in scaled:
            reached.update(graph.consumers[node.index])
    return [index for index in sorted(scaled) if index in reached and index in onward]


def _normalizations(profile: Profile) -> Iterator[Node]:
    return (n for n in profile.graph.nodes if n.operation is Operation.NORMALIZATION and n.stage == "model")


def _scale(profile: Profile, node: Node) -> ParameterProfile | None:
    return profile.by_path.get(_scale_path(node))


def _scale_path(node: Node) -> str:
    return next((u.parameter for u in node.uses if u.slot in ("scale", "operand")), "")
