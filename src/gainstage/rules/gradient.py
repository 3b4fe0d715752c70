"""GS2xx: the gradient on its way back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gainstage.graph import Parameter, Role
from gainstage.records import ParameterProfile, Profile, Remedy, Severity
from gainstage.rules.cause import drift_in_words
from gainstage.rules.flow import closed_nodes, leads_on, scores, zero_nodes
from gainstage.rules.layers import Layer, layers
from gainstage.rules.need import need_backward
from gainstage.rules.remedies import edit, initialize
from gainstage.rules.table import Fault, rule
from gainstage.rules.trend import BADLY, HOPELESS, Trend, trend
from gainstage.rules.words import figure, listed, place

__all__: list[str] = []

# Their gradients are small by nature: scores change attention little while it is nearly uniform.
_SIDEWAYS = frozenset({Role.QUERY, Role.KEY})


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

        gs.initialize(model, batch=x)

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
    Three decades are a warning, four an error: the window of useful relative steps, 1e-5 to 1e-1.

    Example:
    Thirty tanh layers of width 128 with weights from N(0, 1): saturated, and yet each multiplies the gradient by 2.4.

    Remedy:
    Draw the weights smaller; where a batch normalisation does it, add skips:

        import gainstage as gs

        gs.initialize(model, batch=x)

    Reference:
    Pascanu, Mikolov and Bengio 2013; Yang et al. 2019, A Mean Field Theory of Batch Normalization.
    """
    found = _gradient_drift(profile)
    if found is not None and found[1].decades <= -BADLY:
        yield _drift(profile, *found, "grows")


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
    return norm * layer.measured.forward.rms if layer.forgiven else norm


def _weight(layer: Layer) -> float:
    """‖gradient‖ / ‖weight‖; where the scale is divided out, what it would be at a spread of 1/√fan_in."""
    if layer.weight is None or layer.weight.relative_gradient is None or layer.kernel is None:
        return 0.0
    relative = layer.weight.relative_gradient
    if not layer.forgiven:
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
        "factor "
        f"of {figure(1 / found.factor)} a layer over {len(found.points)} layers."
    )
    return Fault(
        Severity.ERROR if abs(found.decades) >= HOPELESS else Severity.WARNING,
        place(nodes[first.node]),
        evidence,
        10**-found.decades,
        10.0 ** -math.copysign(BADLY, found.decades),
        drift_in_words(profile, [layer for layer in chain if not layer.forgiven] or chain, "backward"),
        _remedy(chain, verb),
        first.node,
    )


def _remedy(chain: Sequence[Layer], verb: str) -> Remedy:
    """New weights; but normalisations that follow every layer divide their scale out, and multiply the gradient."""
    if verb == "grows" and 2 * sum(layer.forgiven for layer in chain) > len(chain):
        return edit(
            "Add skips around the normalised layers: no weights help, since the normalisation divides their scale out.",
            "x = x + block(x)",
        )
    return initialize("Draw the weights with the gain that holds the gradient at the level that arrives.")


@rule("GS203", "A weight's gradient is exactly zero")
def zero_gradient(profile: Profile) -> Iterator[Fault]:
    """The loss does not depend on a weight at all, and nothing in the design says so.

    What it does:
    Looks for trainable weights whose gradient is zero in every element. Explained zeros are left out: behind the
    weight, every way to the loss passes a weight or a scale that starts at zero while the input still reaches the loss
    around it (residual branches, LoRA, a zero output layer); recurrent weights and what moves attention scores alone;
    and weights that got no data.

    Why it matters:
    Such a weight does not move, in this step or the next, unless something else revives it.

    Null hypothesis:
    A gradient is a sum over examples of products; that all are exactly zero has a cause: dead units in between, a
    saturation that rounds to zero, underflow, a constant output.

    Bound and where it comes from:
    Exactly zero. One weight is a warning, more than half of them an error.

    Example:
    A network whose only hidden layer is dead: the gradient of every weight before it is zero.

    Remedy:
    Cure what stands in between; where it is a matter of weights:

        import gainstage as gs

        gs.initialize(model, batch=x)

    Reference:
    Zhang, Dauphin and Ma 2019 (Fixup) and Hu et al. 2021 (LoRA) for zeros by design.
    """
    need_backward(profile)
    graph, zeros = profile.graph, zero_nodes(profile)
    weights = [(profile.parameter(p), p) for p in profile.parameters]
    weights = [(q, p) for q, p in weights if q.trainable and q.role.is_kernel and p.gradient is not None]
    silent = [(q, p) for q, p in weights if _is_zero(p) and not _by_design(profile, q, zeros)]
    if not silent:
        return
    names = [q.path for q, _ in silent]
    node = graph.nodes[silent[0][0].nodes[0]]
    yield Fault(
        Severity.ERROR if 2 * len(silent) > len(weights) else Severity.WARNING,
        place(node),
        f"The gradient of {len(silent)} of {len(weights)} weights is zero in every element: {listed(names)}.",
        float(len(silent)),
        0.0,
        "Between these weights and the loss everything is flat: dead or saturated units, underflow, or an output that "
        "does not depend on them.",
        initialize("Draw the weights anew, so that a gradient passes."),
        node.index,
    )


def _is_zero(measured: ParameterProfile) -> bool:
    gradient = measured.gradient
    return gradient is not None and gradient.count > 0 and gradient.second_moment == 0 and gradient.finite


def _by_design(profile: Profile, parameter: Parameter, zeros: frozenset[int]) -> bool:
    graph = profile.graph
    if parameter.role in (Role.QUERY, Role.KEY, Role.RECURRENT) or not parameter.nodes:
        return True
    if all(0 in graph.nodes[i].shape or _silent(profile, i) for i in parameter.nodes):
        return True
    open_ = leads_on(graph, scores(graph))
    if not any(i in open_ for i in parameter.nodes):
        return True  # it moves attention scores alone, which may all move together
    heads = {i for p in graph.parameters if p.role is Role.HEAD for i in p.nodes}
    around = leads_on(graph, zeros - heads)
    open_ = leads_on(graph, zeros)
    return any(i in around for i in graph.inputs) and not any(i in open_ for i in parameter.nodes)


def _silent(profile: Profile, index: int) -> bool:
    """Whether a node gave nothing but zeros."""
    at = profile.by_node.get(index)
    return at is not None and at.forward.second_moment == 0


@rule("GS204", "A parameter gets no gradient")
def detached(profile: Profile) -> Iterator[Fault]:
    """A trainable parameter is not connected to the loss.

    What it does:
    Lists trainable parameters that this run did not use, those whose output the loss does not see, and those that lead
    to the loss while no gradient comes back.

    Why it matters:
    An optimizer leaves them as they are. For a part of the model that another input uses that is right; where the
    gradient is cut by detach, no_grad or a conversion, that part silently does not train.

    Null hypothesis:
    A trainable parameter that takes part in the loss gets a gradient, if a small one.

    Bound and where it comes from:
    None: it is a question of structure. A cut gradient is a warning, unused parameters are a note.

    Example:
    y = self.head(self.body(x).detach()): the body is used and does not train.

    Remedy:
    Remove the detach; where it is meant, say so:

        model.body.requires_grad_(False)

    Reference:
    PyTorch, Autograd mechanics.
    """
    need_backward(profile)
    graph = profile.graph
    waiting = [q for p in profile.parameters if p.gradient is None and (q := profile.parameter(p)).trainable]
    open_ = leads_on(graph)
    cut = [q for q in waiting if any(i in open_ for i in q.nodes)]
    if cut:
        names = [q.path for q in cut]
        yield Fault(
            Severity.WARNING,
            place(graph.nodes[cut[0].nodes[0]]),
            f"{len(cut)} trainable parameters lead to the loss and get no gradient: {listed(names)}.",
            float(len(cut)),
            0.0,
            "The way back is cut: detach, no_grad, .data, or a conversion to whole numbers stands in between.",
            edit("Let the gradient through, or declare these parameters frozen.", "part.requires_grad_(False)"),
            cut[0].nodes[0],
        )
    idle = [q.path for q in graph.unreached if q.trainable] + [q.path for q in waiting if q not in cut]
    if idle:
        yield Fault(
            Severity.NOTE,
            "",
            f"{len(idle)} trainable parameters do not take part in this loss: {listed(idle)}.",
            float(len(idle)),
            0.0,
            "This input does not use them, or what they compute is not part of the loss.",
            edit("Nothing, if other inputs use them; else remove them or freeze them.", "part.requires_grad_(False)"),
        )
