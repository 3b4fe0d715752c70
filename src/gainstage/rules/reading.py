"""GS117 and GS606: inputs that do not reach the output, and reshapes that mix them."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.graph import Node, Operation
from gainstage.records import Profile, Severity
from gainstage.rules.flow import ends_in, leads_on, zero_nodes
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import place

__all__: list[str] = []

MOST = 0.75  # of the input's places


@rule("GS117", "A reshape mixes axes")
def refolded(profile: Profile) -> Iterator[Fault]:
    """A reshape stands where axes were meant to change places.

    What it does:
    Compares the shapes before and after each reshape of the signal. A reshape keeps the order of elements in memory: it
    can merge neighbouring axes and split an axis. Where a new border lies within an old axis and does not divide it, as
    in (batch, 10 steps, 7 units) to (batch, 7, 10), elements of different positions and units land in one row.

    Why it matters:
    Each row of the result holds pieces of several positions and units. A layer behind it can learn around that only
    where it sees all of them.

    Null hypothesis:
    Reshapes merge and split. Relative positions are shifted by a reshape on purpose, behind a padding or between sizes
    that differ by one (Transformer-XL), which does not count.

    Bound and where it comes from:
    None: it is a question of structure. A warning.

    Example:
    images.reshape(n, 3, 32, 32) of images stored as (n, 32, 32, 3); logits.view(n, classes, time) in front of a
    cross-entropy.

    Remedy:
    Exchange the axes:

        x = x.permute(0, 3, 1, 2)       # instead of x.reshape(n, channels, height, width)

    Reference:
    PyTorch, torch.Tensor.view and torch.permute.
    """
    open_ = leads_on(profile.graph)
    found = [r for r in profile.refolds if r.node in open_ and not _padded(profile.graph.nodes[r.node])]
    if not found:
        return
    node = profile.graph.nodes[found[0].node]
    yield Fault(
        Severity.WARNING,
        place(node),
        f"The output of '{place(node)}' is reshaped from {found[0].before} to {found[0].after}.",
        float(len(found)),
        0.0,
        "A reshape keeps the order in memory: these shapes need a transpose, and without one positions and units mix.",
        edit("Exchange the axes instead.", phrase("axes exchanged, not folded anew")),
        node.index,
    )


def _padded(node: Node) -> bool:
    """Report whether padding or cropping comes right before, as in the shift of relative positions."""
    return node.operation is Operation.CONCATENATION or node.function in ("pad", "pad_edges", "slice")


@rule("GS606", "Inputs that do not reach the output")
def unread(profile: Profile) -> Iterator[Fault]:
    """The output does not depend on the input, or on most of it.

    What it does:
    Runs at most eight different examples in evaluation mode. Compares their outputs, and takes the gradient of the
    outputs by the inputs: a place (a feature, a pixel, a step of time) by which the gradient is exactly zero for every
    example is not read.

    Why it matters:
    What is not read cannot be learned from. The loss falls to what the rest, or a constant, explains.

    Null hypothesis:
    Every place of the input moves the output of some example. Maxima read other places in each example and are not
    judged. A layer that starts at zero hides the input on purpose.

    Bound and where it comes from:
    Nothing read is an error; more than three quarters of the places not read is a warning. Below that, features may be
    left out on purpose, and windows with a stride leave out borders.

    Example:
    A recurrent cell whose state is made anew at each step, so that only the last step counts; a variable that is
    overwritten before the next layer reads it.

    Remedy:
    Hand the signal on:

        h = cell(x[:, t], h)            # instead of cell(x[:, t], torch.zeros(...))

    Reference:
    Karpathy 2019, A Recipe for Training Neural Networks ("use backprop to chart dependencies").
    """
    graph, reactions = profile.graph, profile.reactions
    zeros = zero_nodes(profile)
    if zeros and not ends_in(graph, graph.inputs, zeros):
        raise Lacking("a layer that starts at zero hides the input")
    trained = [node for node in graph.weighted() if node.operation is not Operation.EMBEDDING] or list(graph.weighted())
    if reactions is None:
        raise Lacking("the model was not run on a smaller batch")
    if reactions.equal is True:
        yield _nothing(place(trained[0]) if trained else "")
        return
    share = reactions.unread
    if share is not None and share > MOST:
        yield Fault(
            Severity.WARNING,
            "",
            f"No output of {reactions.examples} examples has a gradient by {share:.0%} of the places of their input.",
            share,
            MOST,
            "They are cut away, overwritten, multiplied by zero, or belong to steps whose result is thrown away.",
            edit("Hand on what these places give.", "h = cell(x[:, t], h)  # the state of the step before"),
        )


def _nothing(where: str) -> Fault:
    """The finding where the output has nothing to do with the input."""
    return Fault(
        Severity.ERROR, where, "Examples that differ all give exactly the same output.", 0.0, 0.0,
        "What the input gives is overwritten, rounded away, multiplied by zero, or lost in units that are off for all "
        "examples.",
        edit("Let the layers read what the ones before return.", "h = layer(h)"),
    )  # fmt: skip
