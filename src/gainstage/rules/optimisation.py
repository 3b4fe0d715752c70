"""GS7xx: the optimizer's first step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from gainstage.records import OptimizerFacts, Profile, Severity
from gainstage.rules.need import need_loss, need_optimizer
from gainstage.rules.remedies import Phrase, edit, phrase
from gainstage.rules.table import Fault, Lacking, rule
from gainstage.rules.words import figure

__all__: list[str] = []

TINY = 1e-5  # ‖step‖ / ‖weight‖
RUINED = 10.0  # times what there was to gain


def _relative_steps(profile: Profile) -> list[float]:
    """‖step‖ / ‖weight‖ of every weight that moves."""
    need_optimizer(profile)
    kernels = [p for p in profile.parameters if profile.parameter(p).role.is_kernel and not p.constant]
    steps = [p.update for p in kernels if p.update is not None and math.isfinite(p.update) and p.update > 0]
    if not steps:
        raise Lacking("the optimizer moved no weight")
    return steps


def _at_rate(optimizer: OptimizerFacts) -> str:
    rates = sorted({rate for rate in optimizer.learning_rates if math.isfinite(rate)})
    return (
        f"{optimizer.name} at a learning rate of {' and '.join(figure(r) for r in rates)}" if rates else optimizer.name
    )


@rule("GS701", "The first step is too large")
def large_step(profile: Profile) -> Iterator[Fault]:
    """The optimizer's first step makes the loss of its own batch worse by more than there was to gain.

    What it does:
    Takes the step that the optimizer would make on this batch and measures the loss behind it. Compares the rise with
    the loss at the start minus the lowest loss that free outputs reach (zero where that is not known). The relative
    size of the step, the median over all weights of ‖step‖ / ‖weight‖, explains a rise and convicts nobody: Adam's
    first step has the size of its rate whatever the weights, and small weights take it well.

    Why it matters:
    Such a step throws away what the initialization set up (levels, gradients, independence of units) and leaves the
    network farther from its goal than it was.

    Null hypothesis:
    A step along the gradient lowers the loss of its batch, or overshoots a little.

    Bound and where it comes from:
    A rise by all that there was to gain is a warning: a loss of log C has then doubled, which a guess at random cannot
    explain. A rise by ten times that is an error.

    Example:
    Adam at a learning rate of 0.1 with weights of spread 0.02: every element moves by five times its size.

    Remedy:
    A smaller learning rate, or a warm-up:

        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    Reference:
    You, Gitman and Ginsburg 2017 (LARS); Bernstein et al. 2020, On the distance between two neural networks.
    """
    typical = median(_relative_steps(profile))
    optimizer, loss, step = need_optimizer(profile), need_loss(profile), profile.step
    if step is None or not (math.isfinite(loss.value) and math.isfinite(step.loss_after)):
        raise Lacking("the loss behind the optimizer's step could not be measured")
    lowest = profile.task.loss_shape.lowest if profile.task.loss_shape is not None else 0.0
    gain = loss.value - min(lowest, 0.0) if lowest < loss.value else 0.0
    if not gain > 0:
        raise Lacking("the lowest value of this loss is not known")
    rise = (step.loss_after - loss.value) / gain
    if rise <= 1:
        return
    yield Fault(
        Severity.ERROR if rise > RUINED else Severity.WARNING,
        "",
        f"{_at_rate(optimizer)} takes the loss of this batch from {figure(loss.value)} to {figure(step.loss_after)} in "
        f"one step, {figure(rise)} times what there was to gain.",
        rise,
        1.0,
        f"The step changes the typical weight by {figure(typical)} of its size, too much for this network and loss.",
        edit("Lower the learning rate.", _rate(optimizer, max(0.01, min(0.3, 1 / (10 * rise))))),
    )


@rule("GS702", "The first step is too small")
def small_step(profile: Profile) -> Iterator[Fault]:
    """The optimizer's first step changes the weights by less than a hundred-thousandth of their size.

    What it does:
    Takes the median over all weights of ‖step‖ / ‖weight‖, as GS701 does.

    Why it matters:
    A hundred thousand such steps, all in one direction, change a weight by its own size.

    Null hypothesis:
    Useful steps are about a thousandth of the weight. A warm-up that starts at zero is no fault: check at the rate
    that it reaches.

    Bound and where it comes from:
    1e-5, the lower end of the window 1e-5 to 1e-1: a warning.

    Example:
    SGD at a learning rate of 1e-6.

    Remedy:
    A larger learning rate:

        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    Reference:
    You, Gitman and Ginsburg 2017 (LARS).
    """
    typical = median(_relative_steps(profile))
    if typical >= TINY:
        return
    optimizer = need_optimizer(profile)
    yield Fault(
        Severity.WARNING,
        "",
        f"{_at_rate(optimizer)} changes the typical weight by {figure(typical)} of its size in one step.",
        typical,
        TINY,
        "The learning rate, or the gradient, is too small for weights of this size.",
        edit("Raise the learning rate.", _rate(optimizer, 1e-3 / typical)),
    )


def _rate(optimizer: OptimizerFacts, factor: float) -> Phrase:
    rates = [rate for rate in optimizer.learning_rates if math.isfinite(rate) and rate > 0]
    if not rates or not math.isfinite(factor):
        return phrase("another learning rate")
    return phrase("the optimizer at this rate", name=optimizer.name, rate=f"{max(rates) * factor:.3g}")


@rule("GS703", "The learning rate is above the stable one")
def unstable_step(profile: Profile) -> Iterator[Fault]:
    """The optimizer's first step overshoots: the loss rises on the very batch it was computed for.

    What it does:
    Takes the step and measures the loss behind it. With the slope along the step that gives the curvature, and the
    multiple of the step from which on the loss would rise, 2 |slope| / curvature.

    Why it matters:
    Beyond that multiple a plain gradient descent moves away from the minimum along this direction, farther with each
    step.

    Null hypothesis:
    The stable multiple is above 1. Up to twice the limit networks were found to recover by moving to a flatter place.

    Bound and where it comes from:
    A multiple below 1 is a note; below 1/2 (beyond twice the limit, 4 / curvature instead of 2) a warning; a loss that
    is no number any more an error.

    Example:
    SGD at 1.0 on inputs from 0 to 255.

    Remedy:
    Lower the learning rate below the limit:

        optimizer = torch.optim.SGD(model.parameters(), lr=limit / 2)

    Reference:
    LeCun et al. 1998, section 4.6; Lewkowycz et al. 2020, The large learning rate phase of deep learning.
    """
    optimizer = need_optimizer(profile)
    step, loss = profile.step, profile.task.loss
    if step is None or loss is None or not math.isfinite(loss.value):
        raise Lacking("the optimizer's step could not be measured")
    if not math.isfinite(step.loss_after):
        yield Fault(
            Severity.ERROR, "", f"{_at_rate(optimizer)} takes the loss from {figure(loss.value)} to no number at all.",
            0.0, 1.0, "The step is so large that the network overflows.",
            edit("Lower the learning rate.", _rate(optimizer, 0.01)),
        )  # fmt: skip
        return
    stable = step.stable_factor
    rises = step.loss_after > loss.value * (1 + 1e-3)
    if stable is None or stable >= 1 or not rises:
        return
    yield Fault(
        Severity.WARNING if stable < 0.5 else Severity.NOTE,
        "",
        f"{_at_rate(optimizer)} takes the loss of this batch from {figure(loss.value)} to {figure(step.loss_after)}; "
        f"it would rise from {figure(stable)} of this step on.",
        stable,
        1.0,
        "The curvature along the step is too large for a step of this length.",
        edit("Lower the learning rate below the limit.", _rate(optimizer, stable / 2)),
    )
