"""GS517 to GS519: outputs, labels and terms that leave part of the loss without effect."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Node, Operation, SignalGraph
from gainstage.graph.groups import COPYING
from gainstage.records import Profile, Severity
from gainstage.rules.need import need_loss, need_output
from gainstage.rules.outgoing import is_direct, last_function, where
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure

__all__: list[str] = []

FLAT_ENDS = frozenset({"relu", "relu6", "clamp", "hardtanh", "hardsigmoid", "threshold"})
CUT, NEARLY_ALL = 0.75, 0.95  # of the outputs
MANY = 100.0  # terms in a sum beside a mean


@rule("GS517", "The outputs are clipped")
def clipped(profile: Profile) -> Iterator[Fault]:
    """Most outputs sit exactly at a bound of a function that is flat beyond it.

    What it does:
    Counts the outputs that equal the smallest or the largest one exactly, where the model ends with a clamp, a relu or
    another function that is constant beyond a bound.

    Why it matters:
    Beyond the bound the slope is zero: these outputs send no gradient back, and only a change that other examples bring
    about can bring them inside again.

    Null hypothesis:
    Behind a relu one half of the outputs is zero; inside the bounds of a clamp lie nearly all.

    Bound and where it comes from:
    Three quarters at the bounds are a warning: half as many examples teach as the relu's half would let. Beyond 95 % it
    is an error.

    Example:
    prediction.clamp(0, 5) of outputs that start below zero for every example.

    Remedy:
    Clip outside of training alone, or scale the output into the range:

        prediction = low + (high - low) * torch.sigmoid(output)

    Reference:
    Goodfellow, Bengio and Courville 2016, Deep Learning, section 6.2.2.
    """
    need_loss(profile)
    output = need_output(profile)
    if output.clipped is None:
        raise Lacking("the outputs at their extremes were not counted")
    last = last_function(profile, output)
    if last is None or output.function not in FLAT_ENDS or not is_direct(profile, output) or output.clipped <= CUT:
        return
    path, node = where(profile, output)
    low, high = output.minimum, output.maximum
    extent = f", from {figure(low)} to {figure(high)}" if low is not None and high is not None else ""
    yield Fault(
        Severity.ERROR if output.clipped > NEARLY_ALL else Severity.WARNING,
        path,
        f"{output.clipped:.0%} of the outputs lie exactly at the smallest or the largest one{extent}.",
        output.clipped,
        CUT,
        f"The model ends with {output.function}, and what arrives there lies beyond its bounds.",
        edit(
            "Clip outside of training alone, or scale the output into the range.",
            phrase("an output scaled into a range"),
        ),
        node,
    )


@rule("GS518", "More labels than time steps")
def too_many_labels(profile: Profile) -> Iterator[Fault]:
    """A sequence of outputs is shorter than the sequence of labels that is aligned with it.

    What it does:
    Reads the lengths that a connectionist temporal classification was called with.

    Why it matters:
    No alignment exists: the loss is infinite, or, where infinite losses are set to zero, the example teaches nothing.

    Null hypothesis:
    Every label has at least one step of its own.

    Bound and where it comes from:
    Fewer steps than labels in any example: an error. Equal labels in a row need a step more each, which is not counted.

    Example:
    A convolutional body that pools the width of a line of text 16 times, in front of nn.CTCLoss.

    Remedy:
    Pool less along time, or drop such examples:

        keep = input_lengths >= target_lengths

    Reference:
    Graves et al. 2006, Connectionist Temporal Classification, section 3.
    """
    need_loss(profile)
    losses = [node for node in profile.graph.nodes if node.operation is Operation.LOSS]
    known = [(node, dict(node.settings)["slack"]) for node in losses if "slack" in dict(node.settings)]
    if not known:
        raise Lacking("the loss aligns no sequences")
    node, slack = min(known, key=lambda pair: pair[1])
    if slack < 0:
        yield Fault(
            Severity.ERROR, "", f"An example has {figure(-slack)} labels more than time steps.", slack, 0.0,
            "The outputs are pooled too much along time, or the lengths are those of something else.",
            edit("Pool less along time, or drop such examples.", "keep = input_lengths >= target_lengths"), node.index,
        )  # fmt: skip


@rule("GS519", "A sum beside a mean")
def uneven_terms(profile: Profile) -> Iterator[Fault]:
    """One term of the loss is summed over all elements, another is averaged, and the average is the one that teaches.

    What it does:
    Takes the loss apart into the terms that are added last. Compares terms that end in a sum over all elements with
    terms that end in a mean; a factor or division behind a sum excuses it.

    Why it matters:
    A sum over n elements has n times the gradient of their mean. Batch size and resolution then decide which of two
    terms counts: with an averaged error and a summed divergence, a code that says nothing is cheapest.

    Null hypothesis:
    All terms that depend on the example are summed, or all are averaged; weights between them are written as factors.

    Bound and where it comes from:
    A sum over more than a hundred elements, two decades in the gradient: a warning.

    Example:
    mse_loss(x, y) + (-0.5 * (1 + v - m**2 - v.exp())).sum().

    Remedy:
    Average over the examples in both:

        loss = mse_loss(x, y, reduction="sum") / len(x) + divergence.sum() / len(x)

    Reference:
    Kingma and Welling 2014, eq. 10.
    """
    need_loss(profile)
    graph = profile.graph
    if graph.loss is None:
        raise Lacking("the loss was not seen as operations")
    ends = [_end(graph, index) for index in _terms(graph, graph.loss)]
    if len(ends) < 2:
        return
    sums = [(node, size) for kind, node, size in ends if kind == "sum" and size > MANY]
    means = [node for kind, node, _ in ends if kind == "mean"]
    if not (sums and means):
        return
    node, size = max(sums, key=lambda pair: pair[1])
    yield Fault(
        Severity.WARNING,
        "",
        f"A term of the loss is a sum over {size:,.0f} elements; another is a mean.",
        size,
        MANY,
        "Their gradients differ by the number of elements, so that the mean hardly counts.",
        edit(
            "Divide both by the number of examples.",
            phrase("two terms of one reduction"),
        ),
        node.index,
    )


@rule("GS520", "Examples of one label do not matter to the loss")
def without_effect(profile: Profile) -> Iterator[Fault]:
    """The loss has no gradient by the outputs of all examples that have one certain target.

    What it does:
    Takes the gradient of the loss by each example's outputs at the start, at the lowest loss and in between, with the
    outputs as free variables. Looks for examples where it is zero at all of them, and for a target value that these,
    and no others, have. Class numbers are judged where there is one an example: of labels at positions, one number may
    stand for padding. Of a loss that takes several outputs, all of them are moved.

    Why it matters:
    The model learns from the other examples alone, and what it returns for these is left to chance.

    Null hypothesis:
    Every target pulls its output somewhere, unless the output is there already.

    Bound and where it comes from:
    A tenth of the examples: fewer can be an accident of the batch. A warning.

    Example:
    A hinge loss, made for labels of -1 and 1, with labels of 0 and 1.

    Remedy:
    Give the labels that the loss is defined for:

        loss = torch.relu(1 - output * (2 * label - 1)).mean()

    Reference:
    Cortes and Vapnik 1995, Support-vector networks, for the labels of a hinge.
    """
    need_loss(profile)
    shape = profile.task.loss_shape or profile.task.joint_shape
    if shape is None or shape.ignored is None:
        raise Lacking("outputs and targets are no values of one shape, and there is no label an example")
    if shape.ignored <= FEW:
        return
    yield Fault(
        Severity.WARNING, "",
        f"{shape.ignored:.0%} of the examples, all of one target, have a gradient of zero wherever their output is.",
        shape.ignored, FEW,
        "The loss multiplies by this target, ignores it, or is defined for other labels or another measure.",
        edit("Give the labels that the loss is defined for.", "label = 2 * label - 1  # from 0 and 1 to -1 and 1"),
    )  # fmt: skip


FEW = 0.1  # of the examples


def _terms(graph: SignalGraph, index: int) -> list[int]:
    """The nodes that are added to make a single number."""
    node = graph.nodes[index]
    if node.operation in COPYING and len(node.inputs) == 1:
        return _terms(graph, node.inputs[0])
    if node.operation is Operation.ADD and len(node.inputs) > 1 and math.prod(node.shape) == 1:
        return [term for operand in node.inputs for term in _terms(graph, operand)]
    return [index]


def _end(graph: SignalGraph, index: int) -> tuple[str, Node, float]:
    """Return the reduction of a loss term, ``sum`` or ``mean``, and its elements; empty where a factor follows."""
    node = graph.nodes[index]
    while node.inputs and (
        node.operation in COPYING
        or (node.operation is Operation.SCALE and abs(node.setting("other", 0.0)) in _SIGNS and not node.divides)
    ):
        node = graph.nodes[node.inputs[0]]
    if not node.from_input:
        return "", node, 1.0  # a penalty on weights
    if node.operation is Operation.LOSS:
        reduction, size = node.setting("reduction", 1.0), node.setting("terms", 1.0)
        return {1.0: "mean", 2.0: "sum"}.get(reduction, ""), node, size
    if node.operation is Operation.REDUCTION and node.function in ("sum", "mean") and node.inputs:
        return node.function, node, float(math.prod(graph.nodes[node.inputs[0]].shape))
    return "", node, 1.0


_SIGNS = (0.5, 1.0)
