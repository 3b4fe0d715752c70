"""GS708 to GS710: steps that shrink, climb or never end, whatever the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gainstage.records import Profile, Severity
from gainstage.rules.need import need_optimizer
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure

__all__: list[str] = []

INWARD = math.sqrt(0.5)  # cosine: half of the squared step
FAST = 1e-4  # of the weights' norm in one step
UPHILL = 0.1  # cosine with the gradient


@rule("GS708", "Weight decay drowns the gradient")
def decay(profile: Profile) -> Iterator[Fault]:
    """The optimizer's first step does little but shrink the weights.

    What it does:
    Takes the cosine between the first step of all matrices and minus those matrices, and the size of the step relative
    to them.

    Why it matters:
    Weights that shrink at every step, faster than the gradient builds them up, end near zero: the network returns its
    biases.

    Null hypothesis:
    The gradient at the start has next to nothing to do with the weights: the cosine is about 1/√(number of weights).

    Bound and where it comes from:
    More than half of the squared step points inward, and the step is above a ten-thousandth of the weights: they are
    gone after ten thousand steps. A warning.

    Example:
    Adam(weight_decay=10); AdamW(lr=1e-2, weight_decay=50).

    Remedy:
    Weight decay of the usual size:

        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)

    Reference:
    Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization.
    """
    optimizer, step = need_optimizer(profile), profile.step
    if step is None or step.shrinks is None or step.share is None:
        raise Lacking("the direction of the optimizer's step was not measured")
    if step.shrinks <= INWARD or step.share <= FAST:
        return
    yield Fault(
        Severity.WARNING,
        "",
        f"{step.shrinks**2:.0%} of the squared first step of {optimizer.name} points from the weights to zero, and "
        f"it takes {figure(step.share * step.shrinks)} of their size.",
        step.shrinks,
        INWARD,
        "The weight decay is larger than the gradient.",
        edit("Lower the weight decay.", phrase("an optimizer of small weight decay", name=optimizer.name)),
    )


@rule("GS709", "The optimizer climbs")
def climbing(profile: Profile) -> Iterator[Fault]:
    """The optimizer's first step goes along the gradient, not against it.

    What it does:
    Takes the cosine between the first step of a fresh optimizer and the gradient.

    Why it matters:
    The loss grows.

    Null hypothesis:
    A step against the gradient, whatever positive factor each element has, has a cosine below zero. Weight decay adds a
    direction of its own, and is judged by GS708.

    Bound and where it comes from:
    A cosine above 0.1: an error.

    Example:
    SGD(maximize=True); gradients that a hook multiplies by -1.

    Remedy:
    Go down:

        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    Reference:
    Cauchy 1847, for the direction.
    """
    optimizer, step = need_optimizer(profile), profile.step
    if step is None or step.climbs is None:
        raise Lacking("the direction of a fresh optimizer's step was not measured")
    inward = step.shrinks is not None and step.shrinks > INWARD
    if step.climbs <= UPHILL or inward:
        return
    yield Fault(
        Severity.ERROR,
        "",
        f"The first step of {optimizer.name} has a cosine of {figure(step.climbs)} with the gradient, and takes the "
        f"loss to {figure(step.loss_after)}.",
        step.climbs,
        UPHILL,
        "The optimizer maximises, or the sign of the gradient is turned on the way to it.",
        edit("Let the optimizer minimise.", phrase("an optimizer that minimises", name=optimizer.name)),
    )


@rule("GS710", "The optimizer never forgets")
def endless(profile: Profile) -> Iterator[Fault]:
    """The optimizer's memory of past gradients does not fade, or fades more slowly than that of their squares.

    What it does:
    Reads the momentum, or the two factors of averages of gradients and squared gradients.

    Why it matters:
    With a momentum of m a gradient moves the weights by 1/(1 - m) times its own step: for ever at m = 1, and more with
    each step above. Where squares are forgotten before the gradients, an old gradient is divided by ever smaller
    numbers.

    Null hypothesis:
    Momentum below one, and beta_1 below √beta_2.

    Bound and where it comes from:
    A momentum of one or more is an error; beta_1 ≥ √beta_2 a warning: the condition under which Adam is known to
    converge.

    Example:
    SGD(momentum=1.5); Adam(betas=(0.999, 0.9)).

    Remedy:
    The usual factors:

        optimizer = torch.optim.Adam(model.parameters(), betas=(0.9, 0.999))

    Reference:
    Reddi, Kale and Kumar 2018, On the convergence of Adam and beyond; Kingma and Ba 2015, theorem 4.1.
    """
    optimizer = need_optimizer(profile)
    memory, squares = optimizer.memory, optimizer.memory_of_squares
    if memory is None:
        raise Lacking("the optimizer has no momentum that is known")
    if memory >= 1:
        yield Fault(
            Severity.ERROR, "", f"{optimizer.name} has a momentum of {figure(memory)}.", memory, 1.0,
            "Gradients are added up and never forgotten.",
            edit(
                "Choose a momentum below one.",
                phrase("an optimizer of this momentum", name=optimizer.name, momentum=0.9),
            ),
        )  # fmt: skip
    elif squares is not None and squares > 0 and memory >= math.sqrt(squares):
        yield Fault(
            Severity.WARNING, "", f"{optimizer.name} has betas {figure(memory)} and {figure(squares)}.", memory,
            math.sqrt(squares), "Squared gradients are forgotten before the gradients that they divide.",
            edit(
                "Exchange the betas.",
                phrase("an optimizer of these betas", name=optimizer.name, first=0.9, second=0.999),
            ),
        )  # fmt: skip
