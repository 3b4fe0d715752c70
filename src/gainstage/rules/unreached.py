"""GS203 and GS204: weights that no gradient reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gainstage.graph import Parameter, Role
from gainstage.records import ParameterProfile, Profile, Severity
from gainstage.rules.flow import ends_in, leads_on, live_zeros, reaches_past, scores, silent_nodes
from gainstage.rules.need import need_backward
from gainstage.rules.remedies import edit, initialize, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import listed, place

__all__: list[str] = []


@rule("GS203", "A weight's gradient is exactly zero")
def zero_gradient(profile: Profile) -> Iterator[Fault]:
    """The loss does not depend on a weight at all, and nothing in the design says so.

    What it does:
    Looks for trainable weights whose gradient is zero in every element. Explained zeros are left out: behind the
    weight, every way to the loss passes a weight or a scale that starts at zero while the input still reaches the loss
    around it (residual branches, LoRA, a zero output layer), or is multiplied by a signal that such a zero silences;
    recurrent weights and what moves attention scores alone; and weights that got no data. A zero explains others only
    while it gets a gradient itself: of two zero factors of one product neither ever moves.

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

        gs.initialize(model, x=x)

    Reference:
    Zhang, Dauphin and Ma 2019 (Fixup) and Hu et al. 2021 (LoRA) for zeros by design.
    """
    need_backward(profile)
    weights = [(profile.parameter(p), p) for p in profile.parameters]
    weights = [(q, p) for q, p in weights if q.trainable and q.role.is_kernel and p.gradient is not None]
    by_design = _explained(profile, live_zeros(profile))
    silent = [(q, p) for q, p in weights if _is_zero(p) and not by_design(q)]
    if not silent:
        return
    names = [q.path for q, _ in silent]
    node = profile.graph.nodes[silent[0][0].nodes[0]]
    yield Fault(
        Severity.ERROR if 2 * len(silent) > len(weights) else Severity.WARNING,
        place(node),
        f"The gradient of {len(silent)} of {len(weights)} weights is zero in every element: {listed(names)}.",
        float(len(silent)),
        0.0,
        _why_silent([q.path for q, p in silent if p.weight.rms == 0]),
        initialize("Draw the weights anew, so that a gradient passes.", names if len(names) < len(weights) else ()),
        node.index,
    )


def _why_silent(zeros: list[str]) -> str:
    if len(zeros) > 1:
        return (
            f"{listed(zeros)} start at zero, and each gets its gradient through another of them: none ever moves. One "
            "factor of a product may start at zero, not both."
        )
    return (
        "Between these weights and the loss everything is flat: dead or saturated units, underflow, or an output that "
        "does not depend on them."
    )


def _is_zero(measured: ParameterProfile) -> bool:
    gradient = measured.gradient
    return gradient is not None and gradient.count > 0 and gradient.second_moment == 0 and gradient.finite


def _explained(profile: Profile, zeros: frozenset[int]) -> Callable[[Parameter], bool]:
    """Whether the design explains that a weight's gradient is zero."""
    graph = profile.graph
    heads = {i for p in graph.parameters if p.role is Role.HEAD for i in p.nodes}
    silent = silent_nodes(profile, zeros)
    past_scores, past_zeros = leads_on(graph, scores(graph)), reaches_past(profile, zeros)
    passes = ends_in(graph, graph.inputs, zeros - heads)

    def by_design(parameter: Parameter) -> bool:
        if parameter.role in (Role.QUERY, Role.KEY, Role.RECURRENT) or not parameter.nodes:
            return True
        fed = [graph.nodes[i].inputs for i in parameter.nodes]
        unfed = {i for i, read in zip(parameter.nodes, fed, strict=True) if read and silent.issuperset(read)}
        without_data = all(0 in graph.nodes[i].shape or _silent(profile, i) or i in unfed for i in parameter.nodes)
        if without_data and (unfed or not _is_zero_itself(profile, parameter)):
            return True
        if past_scores.isdisjoint(parameter.nodes):
            return True  # it moves attention scores alone, which may all move together
        return passes and past_zeros.isdisjoint(parameter.nodes)

    return by_design


def _is_zero_itself(profile: Profile, parameter: Parameter) -> bool:
    measured = profile.by_path.get(parameter.path)
    return measured is not None and measured.weight.rms == 0


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
    None: it is a question of structure. A gradient that is cut everywhere is an error: nothing trains. A cut gradient
    is a warning, unused parameters are a note. Where nothing is trainable, nothing is judged.

    Example:
    y = self.head(self.body(x).detach()): the body is used and does not train.

    Remedy:
    Remove the detach; where it is meant, say so:

        model.body.requires_grad_(False)

    Reference:
    PyTorch, Autograd mechanics.
    """
    if not profile.backward and profile.source.kind == "measured":
        yield from _cut_everywhere(profile)
        return
    need_backward(profile)
    graph = profile.graph
    if _converted(profile):
        yield _lost_on_the_way(profile)
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
            phrase("why some gradients are cut"),
            edit("Let the gradient through, or declare these parameters frozen.", phrase("a frozen part")),
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
            edit("Nothing, if other inputs use them; else remove them or freeze them.", phrase("a frozen part")),
        )


def _converted(profile: Profile) -> bool:
    """Report whether outputs depend on the inputs although no differentiable path connects them."""
    graph, reactions = profile.graph, profile.reactions
    return reactions is not None and reactions.equal is False and not ends_in(graph, graph.inputs)


def _lost_on_the_way(profile: Profile) -> Fault:
    """The finding where the signal was converted into something that the framework does not follow."""
    last = next((n for n in reversed(profile.graph.nodes) if n.stage == "model" and n.operation.weighted), None)
    return Fault(
        Severity.ERROR,
        place(last) if last is not None else "",
        "Outputs differ between examples, and no differentiable way leads from the input to them.",
        1.0,
        0.0,
        "The signal is converted on the way (to NumPy, to whole numbers, .item() or .tolist()): what lies before gets "
        "no gradient.",
        edit("Stay in tensors.", phrase("a function that stays in tensors")),
        last.index if last is not None else None,
    )


def _cut_everywhere(profile: Profile) -> Iterator[Fault]:
    """The finding where no trainable parameter gets a gradient."""
    trainable = [q for p in profile.parameters if (q := profile.parameter(p)).trainable]
    if not trainable:
        raise Lacking("nothing is trainable")
    node = profile.graph.nodes[trainable[-1].nodes[-1]]
    yield Fault(
        Severity.ERROR,
        place(node),
        f"None of the {len(trainable)} trainable parameters that take part gets a gradient.",
        float(len(trainable)),
        0.0,
        phrase("why all gradients are cut"),
        edit("Let the gradient through.", phrase("an output that gradients pass")),
        node.index,
    )
