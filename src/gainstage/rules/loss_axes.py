"""GS522: the axis that a loss on class labels normalises over."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.records import Profile, Severity
from gainstage.rules.need import need_loss, need_target
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking, rule

__all__: list[str] = []


@rule("GS522", "The loss normalises over another axis than the classes")
def wrong_axis(profile: Profile) -> Iterator[Fault]:
    """The softmax inside the loss runs over positions or examples, and not over the classes.

    What it does:
    Adds one number to all logits of a position, which no softmax over classes notices. Then adds one number to the
    logits of a class at all positions, or of all examples. The classes are the axis that the labels lack.

    Why it matters:
    Each class then picks the positions that it occurs at, and nothing compares the classes of one position: the model
    is trained for another question than it is asked.

    Null hypothesis:
    A loss on class labels does not change when a number is added to all logits of a position, or, where it is no
    likelihood, changes in both cases.

    Bound and where it comes from:
    None: the loss is unchanged, to rounding, by the second shift and changed by the first. An error.

    Example:
    logits.log_softmax(1) of (batch, time, classes).

    Remedy:
    Name the axis of the classes:

        loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels)

    Reference:
    Bridle 1990, Training stochastic model recognition algorithms as networks.
    """
    need_loss(profile)
    need_target(profile)
    shape = profile.task.loss_shape
    if shape is None:
        raise Lacking("the loss alone could not be probed")
    if not shape.elsewhere:
        return
    yield Fault(
        Severity.ERROR,
        "",
        "A number added to the logits of one class at all places leaves the loss as it is; one added to all logits of "
        "a place changes it.",
        1.0,
        0.0,
        "The softmax in the loss runs over another axis than that of the classes.",
        edit("Name the axis of the classes.", phrase("the loss on logits of positions")),
    )
