"""GS111 and GS112: outputs that follow other examples, or random numbers more than the input."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.graph import Node, Operation, SignalGraph, nearest_before
from gainstage.records import Profile, Reactions, Severity
from gainstage.rules.flow import leads_on
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure, place

__all__: list[str] = []

LEAK = 1e-3  # of the output's root mean square: beyond rounding in half precision
DROWNED = 1.0  # variance of the noise over the variance between examples
TOO_MANY = 0.75  # dropped: three times the noise of the usual half


def _reactions(profile: Profile) -> Reactions:
    if profile.reactions is None:
        raise Lacking("the model was not run on a smaller batch, or does not take one")
    return profile.reactions


@rule("GS111", "Examples influence each other")
def leak(profile: Profile) -> Iterator[Fault]:
    """The output of an example depends on the other examples of its batch.

    What it does:
    Runs at most eight examples in evaluation mode, replaces every second one, runs again, and takes the median over
    the others of the change of their output. Judged only where labels establish which axis holds the examples, where
    the model takes a smaller batch, and where no other axis of the output follows the size of the batch.

    Why it matters:
    Information leaks from one example to another: the loss looks better than the model is, and one example alone gets
    another answer than within a batch.

    Null hypothesis:
    Examples are independent in evaluation mode: batch normalisation then uses its running statistics. Graph networks,
    whose first axis holds nodes, do not take half of their nodes. Experts of limited capacity change few outputs.

    Bound and where it comes from:
    A thousandth of the output's root mean square: beyond what half precision rounds. An error.

    Example:
    nn.Softmax(dim=0); nn.LSTM(batch_first=False) on (batch, time, features); x - x.mean(0).

    Remedy:
    Name the axis of the units, not of the batch:

        nn.Softmax(dim=-1)      # nn.LSTM(..., batch_first=True)

    Reference:
    Karpathy 2019, A Recipe for Training Neural Networks ("use backprop to chart dependencies").
    """
    found = _reactions(profile).leak
    if found is None:
        raise Lacking("it is not established which axis holds the examples")
    if found <= LEAK:
        return
    node = _where_lost(profile.graph)
    yield Fault(
        Severity.ERROR,
        place(node) if node is not None else "",
        f"Replacing every second example changes the outputs of the others by {figure(found)} of their root mean "
        "square, in evaluation mode.",
        found,
        LEAK,
        "An operation works along the axis of the batch" + (f": '{place(node)}'." if node is not None else "."),
        edit("Name the axis of the units, not of the batch.", phrase("an operation along the units")),
        node.index if node is not None else None,
    )


def _where_lost(graph: SignalGraph) -> Node | None:
    """The first operation behind which examples cannot be told apart, although they could before."""
    open_ = leads_on(graph)
    for node in graph.nodes:
        axis = dict(node.settings).get("axis")
        over_batch = axis is not None and node.example_axis is not None and axis == node.example_axis
        known = any(graph.nodes[i].example_axis is not None for i in node.inputs)
        if node.index in open_ and node.stage == "model" and (over_batch or (known and node.example_axis is None)):
            return node
    return None


@rule("GS112", "Noise drowns the signal")
def drowned(profile: Profile) -> Iterator[Fault]:
    """Random numbers that the model draws change its output far more than the input does.

    What it does:
    Runs at most eight examples twice in training mode, with other random numbers, and compares the variance between
    both outputs of one example with the variance between examples. Looks for a dropout between the last layer and a
    loss that compares outputs with targets.

    Why it matters:
    The gradient is that of the noise: with a ratio r, about r examples more are needed for the same certainty.

    Null hypothesis:
    Dropout at rate p adds p/(1 − p) times the second moment of what it acts on: as much as there is at the usual half,
    nine times as much at 0.9. Noise of other kinds (a sampled latent variable) is not judged.

    Bound and where it comes from:
    A warning where the noise exceeds the differences between examples, and a rate is above 0.75: three times the noise
    of a half. At the output any rate is a warning: no layer behind it averages over units, so that what is dropped is
    the prediction itself.

    Example:
    nn.Dropout(0.9), where 0.9 was meant to be kept.

    Remedy:
    Give the rate to drop, not to keep:

        nn.Dropout(0.1)

    Reference:
    Srivastava et al. 2014, Dropout.
    """
    at_the_end = _dropped_outputs(profile)
    if at_the_end is not None:
        yield at_the_end
        return
    found = _reactions(profile).noise
    if found is None:
        raise Lacking("the model drops nothing in the mode it is in")
    dropping = [node for node in profile.graph.nodes if node.operation is Operation.DROPOUT and node.stage == "model"]
    worst = max(dropping, key=_rate, default=None)
    if worst is None or found <= DROWNED or _rate(worst) <= TOO_MANY:
        return
    yield Fault(
        Severity.WARNING,
        place(worst),
        f"A rate of {_rate(worst):g} is dropped. Between two draws the output of an example varies {figure(found)} "
        "times as much (variance) as between examples.",
        found,
        DROWNED,
        f"What is left is multiplied by {figure(1 / (1 - _rate(worst)))}, so that the noise is "
        f"{figure(_rate(worst) / (1 - _rate(worst)))} times the signal there.",
        edit("Give the rate to drop, not to keep.", phrase("a dropout of this rate", rate=f"{1 - _rate(worst):.2g}")),
        worst.index,
    )


def _dropped_outputs(profile: Profile) -> Fault | None:
    """A dropout that acts on the very numbers that are compared with the targets."""
    task, graph = profile.task, profile.graph
    if task.output is None or task.loss_shape is None or task.loss_shape.towards is None:
        return None
    found = nearest_before(graph, task.output.node, lambda n: n.operation is not Operation.RESHAPE, through=_MOVED)
    node = graph.nodes[found[0]] if len(found) == 1 else None
    if node is None or node.operation is not Operation.DROPOUT or not _rate(node) > 0:
        return None
    return Fault(
        Severity.WARNING,
        place(node),
        f"A rate of {_rate(node):g} is dropped from the outputs that the loss compares with the targets.",
        _rate(node),
        0.0,
        "Each dropped prediction is zero, and the others are too large by the factor that makes up for it.",
        edit("Drop units in front of the last layer, not behind it.", phrase("a dropout in front of the last layer")),
        node.index,
    )


_MOVED = frozenset({Operation.RESHAPE})


def _rate(node: Node) -> float:
    """The share that a dropout drops; below one, also where the user has set one."""
    return min(dict(node.settings).get("p", 0.0), 1 - 1e-6)


@rule("GS118", "Outputs are random in evaluation mode")
def restless(profile: Profile) -> Iterator[Fault]:
    """The same example gets another output with other random numbers, in evaluation mode.

    What it does:
    Runs at most eight examples twice in evaluation mode, with two seeds, where the first run drew random numbers.

    Why it matters:
    A model that is validated or deployed answers differently every time, and is worse than it could be: dropout is
    averaged out in training and only hurts afterwards.

    Null hypothesis:
    In evaluation mode a network is a function of its input. Models that sample on purpose (variational autoencoders,
    diffusion) are no such functions, and this is a note for them.

    Bound and where it comes from:
    A millionth of the output's root mean square: rounding. A warning where the model drops elements, which no sampler
    does; else a note.

    Example:
    torch.nn.functional.dropout(x, 0.5), whose default is training=True.

    Remedy:
    Hand the mode to the function, or use the layer:

        x = torch.nn.functional.dropout(x, 0.5, training=self.training)

    Reference:
    PyTorch, torch.nn.functional.dropout.
    """
    found = _reactions(profile).restless
    if found is None:
        raise Lacking("the model draws no random numbers, or was not run twice in evaluation mode")
    if not found:
        return
    # A product with noise of another kind, which samples, is a dropout without a rate.
    masks = (node for node in profile.graph.nodes if node.operation is Operation.DROPOUT and node.stage == "model")
    drops = [node for node in masks if _rate(node) > 0]
    yield Fault(
        Severity.WARNING if drops else Severity.NOTE,
        place(drops[0]) if drops else "",
        "The outputs of the same examples differ between two seeds in evaluation mode.",
        1.0,
        0.0,
        "Elements are dropped also in evaluation mode."
        if drops
        else "Random numbers are drawn also in evaluation mode.",
        edit("Draw random numbers in training alone.", phrase("random numbers in training alone")),
        drops[0].index if drops else None,
    )
