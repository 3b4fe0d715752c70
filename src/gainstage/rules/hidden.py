"""GS107 and GS108: output functions on hidden layers."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.graph import Node, Operation, SignalGraph, nearest_after
from gainstage.graph.groups import COPYING, GATES, LEVEL_KEEPING, MIXING
from gainstage.records import Profile, Severity
from gainstage.rules.flow import feeds_weights
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, rule
from gainstage.rules.words import figure, place

__all__: list[str] = []


@rule("GS107", "A softmax on a hidden layer")
def hidden_softmax(profile: Profile) -> Iterator[Fault]:
    """A softmax stands between two layers, where an activation is meant.

    What it does:
    Looks for a softmax (or log-softmax) of more than one unit whose output a weight reads. Attention, where it weights
    other signals, is left out, also where a linear map over heads stands in between: that weight sums over another
    axis than the one that the softmax normalises. A softmax over ten and more units that multiplies a signal unit by
    unit, with a weight behind that sums over the same units, is no attention but a mask, and is judged.

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
        hidden = feeds_weights(profile.graph, node) and not _mixes_others(profile.graph, node, axis)
        if not node.from_input or not (hidden or _masks_units(profile.graph, node, axis)):
            continue
        at, size = profile.by_node.get(node.index), node.shape[axis]
        spread = f" They vary by {figure(at.forward.spread)} (spread over all elements)." if at is not None else ""
        yield Fault(
            Severity.WARNING,
            place(node),
            f"{node.function or 'softmax'} over {size} units feeds another layer; its outputs are {figure(1 / size)} "
            f"on average.{spread}",
            1 / size,
            1.0,
            "A softmax makes its units share a sum of one, so the signal and its gradient shrink with their number.",
            edit("Replace the hidden softmax by an elementwise activation.", phrase("a relu instead of a softmax")),
            node.index,
        )


def _masks_units(graph: SignalGraph, softmax: Node, axis: int) -> bool:
    """Report whether a softmax multiplies a signal unit by unit, and a weight sums over the same units."""
    if softmax.shape[axis] < WIDE or graph.nodes[softmax.inputs[0]].operation is Operation.MATMUL:
        return False
    products = nearest_after(graph, softmax.index, lambda n: n.operation not in COPYING, through=COPYING)
    if not products or any(graph.nodes[i].operation is not Operation.MULTIPLY for i in products):
        return False
    behind = COPYING | {Operation.OFFSET, Operation.SCALE, Operation.ACTIVATION}
    readers = [
        graph.nodes[i]
        for product in products
        for i in nearest_after(graph, product, lambda n: n.operation not in behind, through=behind)
    ]
    return bool(readers) and all(
        n.operation.weighted and n.kernel is not None and n.kernel.in_ == softmax.shape[axis] for n in readers
    )


WIDE = 10  # units: a mask of their mean takes off a decade


def _mixes_others(graph: SignalGraph, softmax: Node, axis: int) -> bool:
    """Whether the weights that read it sum over another axis, and the result weights another signal (talking heads)."""
    readers = nearest_after(
        graph, softmax.index, lambda n: n.operation.weighted, through=LEVEL_KEEPING | {Operation.NORMALIZATION}
    )
    return bool(readers) and all(
        (kernel := graph.nodes[i].kernel) is not None
        and kernel.in_ != softmax.shape[axis]
        and nearest_after(graph, i, lambda n: n.operation in GATES, through=LEVEL_KEEPING)
        for i in readers
    )


@rule("GS108", "An exponential on a hidden layer")
def hidden_exponential(profile: Profile) -> Iterator[Fault]:
    """An exponential stands between two layers, where an activation is meant.

    What it does:
    Looks for exp whose output a weight reads. Exponentials inside a softmax or a loss, those that multiply another
    signal (a learned variance, a temperature), and those of what is never positive, as a radial basis function's
    exp(-r²), are left out.

    Why it matters:
    Its output and its slope grow without bound: at level q the second moment is e^(2q), so a level of 5 becomes
    22,000, and the next exponential overflows.

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
            or not feeds_weights(profile.graph, node)
            or _is_bounded(profile.graph, node)
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
            edit("Replace the hidden exponential.", phrase("a softplus instead of an exponential")),
            node.index,
        )


def _is_bounded(graph: SignalGraph, exponential: Node) -> bool:
    """Whether what the exponential is taken of is minus something that is never negative."""
    sign, here = 1.0, graph.nodes[exponential.inputs[0]]
    while here.inputs:
        if here.operation is Operation.ACTIVATION:
            even = dict(here.settings).get("exponent", 1.0) % 2 == 0
            return sign < 0 and (here.function in _NEVER_NEGATIVE or even)
        if here.operation is Operation.SCALE:
            # A learned width may have either sign; it is meant to be negative.
            sign *= dict(here.settings).get("other", -sign)
        elif here.operation is not Operation.RESHAPE:
            return False
        here = graph.nodes[here.inputs[0]]
    return False


_NEVER_NEGATIVE = frozenset({"abs", "square", "relu", "relu6", "relu_squared", "softplus", "sigmoid", "exp"})


@rule("GS116", "Layers in a row without a nonlinearity")
def no_nonlinearity(profile: Profile) -> Iterator[Fault]:
    """The whole network is one linear map, although it has several layers.

    What it does:
    Looks for anything that is not affine on the way from the input to the output: activations, maxima, products of
    signals, normalisations within an example, recurrent layers.

    Why it matters:
    Linear layers in a row compute what a single one computes: depth and width add parameters and no function.

    Null hypothesis:
    Between two layers stands a nonlinearity. A frozen layer in front of another is a projection. Two layers around a
    narrow one are a factorised matrix and have a purpose (a linear autoencoder, a low-rank map).

    Bound and where it comes from:
    None: it is a question of structure. At least two layers, none narrower than both ends, no nonlinearity anywhere: a
    warning, since such networks learn no more than a single layer would.

    Example:
    nn.Sequential(nn.Linear(20, 64), nn.Linear(64, 64), nn.Linear(64, 5)).

    Remedy:
    Put an activation behind every hidden layer:

        nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 5))

    Reference:
    Goodfellow, Bengio and Courville 2016, Deep Learning, section 6.1.
    """
    graph = profile.graph
    model = [n for n in graph.nodes if n.stage == "model" and n.from_input and n.operation is not Operation.INPUT]
    layers = [n for n in model if n.operation in MIXING and n.kernel is not None]
    if len(layers) < 2 or not graph.outputs or any(not _is_affine(n) for n in model):
        return
    widths = [layers[0].kernel.in_ if layers[0].kernel else 0, *(n.kernel.out for n in layers if n.kernel)]
    if any(not graph.parameter(u.parameter).trainable for n in layers for u in n.uses if u.slot == "weight"):
        return  # a frozen map in front of a layer: a whitening, a projection
    deep = all(reads == 1 for reads in (len(set(graph.consumers[n.index])) for n in layers[:-1]))
    if not deep or min(widths[1:-1]) < min(widths[0], widths[-1]):
        return
    yield Fault(
        Severity.WARNING,
        place(layers[0]),
        f"{len(layers)} layers of widths {', '.join(str(w) for w in widths)} follow each other, and everything between "
        "input and output is affine.",
        float(len(layers)),
        1.0,
        "No activation stands between the layers, so that they are one linear map.",
        edit("Put an activation behind every hidden layer.", phrase("an activation between layers")),
        layers[0].index,
    )


def _is_affine(node: Node) -> bool:
    batch = node.operation is Operation.NORMALIZATION and node.function == "batch_norm"
    averaged = node.operation is Operation.POOLING and node.function == "average"
    summed = node.operation is Operation.REDUCTION and node.function in ("mean", "sum")
    same = COPYING | MIXING | {Operation.OFFSET, Operation.SCALE, Operation.RESAMPLE}
    last = node.operation is Operation.SOFTMAX
    return batch or averaged or summed or last or node.operation in same
