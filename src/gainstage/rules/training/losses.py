"""GT4xx: batches that do not belong, objectives that run away, losses that stand still."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gainstage.records import Severity
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking
from gainstage.rules.training.gradients import ENOUGH, first_to_grow
from gainstage.rules.training.table import training_rule
from gainstage.rules.training.window import Window, middle, need_steps, spread
from gainstage.rules.words import figure

__all__: list[str] = []

UNITS = 10.0  # robust standard deviations
FACTOR = 3.0  # times the median
RISE = 2.0  # of the loss
STILL = 200  # steps


def _losses(window: Window) -> None:
    if not np.isfinite(window.column("loss")).any():
        raise Lacking("the value of the loss")


@training_rule("GT401", "A batch does not belong", cause="bad batch")
def bad_batch(window: Window) -> Iterator[Fault]:
    """The loss of one batch is far above all others, and no step has led up to it.

    What it does:
    Compares the loss with the median of the hundred steps before, in robust standard deviations of the loss and of its
    logarithm. Looks whether the steps before were as large as usual and the rate the same. Compares the input's root
    mean square, and names the weight whose gradient grew most.

    Why it matters:
    One step along the gradient of a corrupt batch can undo hundreds of steps, and Adam keeps its square for a thousand.

    Null hypothesis:
    Losses of batches scatter around a median; a loss that the weights bring about is preceded by larger steps.

    Bound and where it comes from:
    Ten robust standard deviations and three times the median, while the last three updates were at most three times
    the median update: a warning.

    Example:
    A shard of the data in other units; labels of another numbering.

    Remedy:
    Look at that batch; skip steps whose loss is beyond all others:

        if loss.item() < 10 * usual_loss:
            loss.backward()

    Reference:
    Chowdhery et al. 2022, PaLM, section 5.1.
    """
    need_steps(window, ENOUGH + 5)
    _losses(window)
    losses = window.column("loss")
    now, before = float(losses[-1]), losses[:-1][-100:]
    before = before[np.isfinite(before)]
    if not math.isfinite(now) or len(before) < ENOUGH:
        return
    usual, scatter = middle(before), spread(before)
    if now <= FACTOR * abs(usual) or now <= usual + UNITS * max(scatter, 1e-12) or now <= FACTOR * float(before.max()):
        return
    positive = before[before > 0]
    scatter_of_log = max(spread(np.log(positive)), 0.1) if len(positive) else math.inf
    if math.log(now / max(abs(usual), 1e-300)) <= 0.5 * UNITS * scatter_of_log or not window.as_usual:
        return
    place, factor = first_to_grow(window)
    inputs, typical = window.now.inputs, middle(window.earlier("inputs", gap=1))
    told = (
        f" Its inputs have a root mean square of {figure(inputs)}, against {figure(typical)} before."
        if inputs is not None and typical > 0 and not 0.5 < inputs / typical < 2
        else ""
    )
    yield Fault(
        Severity.WARNING, place,
        f"The loss of the batch at step {window.now.step} is {figure(now)}, {figure(now / max(abs(usual), 1e-300))} "
        f"times the median; the gradient of '{place}' grew most, {figure(factor)} times.{told}",
        now / max(abs(usual), 1e-300), FACTOR,
        "The steps before were as large as usual, so the batch itself is unlike the others.",
        edit("Look at that batch.", phrase("a step that is skipped for a loss beyond all others")),
    )  # fmt: skip


@training_rule("GT402", "The objective runs away from the steps", cause="values run away", times=3, of=4)
def running_away(window: Window) -> Iterator[Fault]:
    """The loss keeps rising although every step points downhill, also for the next batch.

    What it does:
    Compares medians of three stretches of the last thirty steps, and the sign of the next gradient · update.

    Why it matters:
    Steps that lower today's objective and raise tomorrow's chase a target that moves with the model: values grow
    without end.

    Null hypothesis:
    Where targets are fixed, steps that still point downhill for the next batch lower the loss. A rate that is too large
    turns that sign (GT304).

    Bound and where it comes from:
    The loss has doubled in twenty steps, rising from stretch to stretch, above its first value: an error.

    Example:
    Values learnt from their own next values, without a target network.

    Remedy:
    Hold the targets still: a copy of the network that is renewed now and then:

        target = slow_copy(x).detach()

    Reference:
    Mnih et al. 2015; van Hasselt et al. 2018, Deep reinforcement learning and the deadly triad.
    """
    need_steps(window, 30)
    _losses(window)
    losses = window.column("loss")[-30:]
    if not np.isfinite(losses).all():
        return
    early, between, late = (middle(part) for part in np.split(losses, 3))
    ahead = window.column("ahead")[-PAIRS:]
    downhill = float(np.nanmean(ahead < 0)) > 0.5 if np.isfinite(ahead).any() else False
    if not (0 < early < between < late) or late < RISE * early or window.improvement > 0 or not downhill:
        return
    yield Fault(
        Severity.ERROR, "",
        f"The loss has risen from {figure(early)} to {figure(late)} in twenty steps, and still "
        f"{figure(100 * float(np.nanmean(ahead < 0)))} % of the steps point downhill for the next batch.",
        late / early, RISE, "The objective moves with the model: its targets are made from its own outputs.",
        edit("Hold the targets still.", phrase("targets of a slow copy")),
    )  # fmt: skip


PAIRS = 20


@training_rule("GT403", "The loss stands still", cause="plateau", times=4, of=4)
def standing_still(window: Window) -> Iterator[Fault]:
    """The loss has not moved beyond its noise for two hundred steps.

    What it does:
    Compares the medians of two halves of the last two hundred steps with their standard errors, and says which kind of
    plateau it is: without a gradient, without steps, or with steps that noise turns back.

    Why it matters:
    The three kinds have different remedies, and only the first is a fault of the signal.

    Null hypothesis:
    A loss that falls differs between the halves.

    Bound and where it comes from:
    Two standard errors of the difference of medians. A note: a training that has converged stands still as well.

    Example:
    A rate that is too large for the end of a training.

    Remedy:
    Lower the rate where steps are turned back by noise:

        for group in optimizer.param_groups:
            group["lr"] *= 0.3

    Reference:
    Bottou, Curtis and Nocedal 2018, Optimization methods for large-scale machine learning, section 4.
    """
    need_steps(window, STILL + ENOUGH)
    _losses(window)
    losses = window.column("loss")[-STILL:]
    halves = np.split(losses, 2)
    error = 1.2533 * math.hypot(*(spread(half) for half in halves)) / math.sqrt(STILL / 2)
    if not abs(middle(halves[0]) - middle(halves[1])) < 2 * error:
        return
    first = middle(np.array([math.nan if r.gradient is None else r.gradient for r in window.first]))
    update, gradient = window.recent("update"), window.recent("gradient")
    if gradient < 0.01 * first and not window.improves:
        why, how = "No gradient is left: the plateau is one of the signal.", "a start at the right level"
    elif update < 1e-6:
        why, how = "The steps are too small to change anything: the schedule has ended.", "another learning rate"
    else:
        why, how = "Steps of this size are turned back by the noise of the batches.", "another learning rate"
    yield Fault(
        Severity.NOTE, "",
        f"The median loss was {figure(middle(halves[0]))} and is {figure(middle(halves[1]))} over the last {STILL} "
        f"steps; gradient {figure(gradient)}, update {figure(update)} of the weights.",
        abs(middle(halves[0]) - middle(halves[1])), 2 * error, why,
        edit("Read which kind of plateau it is.", phrase(how)),
    )  # fmt: skip
