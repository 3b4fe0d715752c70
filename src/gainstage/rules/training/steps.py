"""GT3xx: steps that are too large, too small, go past the minimum, or do nothing but shrink the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gainstage.records import Severity
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking
from gainstage.rules.training.gradients import need_optimizer_steps
from gainstage.rules.training.table import training_rule
from gainstage.rules.training.window import RECENT, Window, middle, need_steps, spread
from gainstage.rules.words import figure

__all__: list[str] = []

LARGE = 0.1  # ‖update‖ / ‖weight‖
FALLS = 0.1  # of the first loss
TINY = 1e-5
PAIR = 20  # steps over which slopes are averaged
CERTAIN = 3.0  # standard errors
LEFT = 0.8  # of the first norm
FALLING = 0.995  # in twenty steps


def _typical_update(window: Window, steps: int) -> float:
    """Median over kernels of the median relative update of the last steps; weights that started at zero left out."""
    kernels = [k for k in window.kernels if window.weights_at_start[k] > 0] if len(window.weights_at_start) else []
    if not kernels or not len(window.updates):
        raise Lacking("updates of weights that do not start at zero")
    with np.errstate(all="ignore"):
        ratios = window.updates[-steps:, kernels] / window.weights[-steps:, kernels]
    return middle(np.array([middle(column) for column in ratios.T]))


def _lower(window: Window, factor: float) -> tuple[str, str]:
    rate = window.now.rate
    return window.optimizer.split(" ")[0], f"{rate * factor:.2g}" if rate and math.isfinite(rate) else "smaller"


@training_rule("GT301", "The steps are too large", cause="rate too large", times=2, of=3)
def large_updates(window: Window) -> Iterator[Fault]:
    """Every step changes the weights by more than a tenth of their size, and the loss does not fall.

    What it does:
    Takes the median over all weights of ‖update‖ / ‖weight‖, over the last three steps. Weights that started at zero
    are left out, since their ratio has no meaning.

    Why it matters:
    After ten such steps nothing is left of what the initialization and the steps before have set up.

    Null hypothesis:
    Useful steps are about a thousandth of the weight, and up to a few hundredths in the first steps of a high rate.
    A large step that is right makes the loss fall.

    Bound and where it comes from:
    One tenth, the upper end of the window 1e-5 to 1e-1 of GS702, in two of three judgements, while the loss has not
    fallen by a tenth: an error.

    Example:
    Adam at 0.5; a schedule in the wrong unit.

    Remedy:
    A rate at which the update is about a thousandth of the weight:

        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    Reference:
    You, Gitman and Ginsburg 2017 (LARS); Bernstein et al. 2020, On the distance between two neural networks.
    """
    need_optimizer_steps(window)
    need_steps(window, 3)
    typical = _typical_update(window, 3)
    if not typical > LARGE or window.gained(3) > FALLS:
        return
    name, rate = _lower(window, 0.01 / typical)
    yield Fault(
        Severity.ERROR, "",
        f"A step changes the typical weight by {figure(typical)} of its size, and the loss is at "
        f"{figure(window.recent('loss', 3))}.",
        typical, LARGE, "The learning rate is too large for weights of this size.",
        edit("Lower the learning rate.", phrase("the optimizer at this rate", name=name, rate=rate)),
    )  # fmt: skip


@training_rule("GT302", "The steps are too small", cause="rate too small", times=3, of=4)
def small_updates(window: Window) -> Iterator[Fault]:
    """The steps change the weights by less than a hundred-thousandth of their size, and the loss stands still.

    What it does:
    Takes the median over all weights of ‖update‖ / ‖weight‖ over the last twenty steps, from step fifty on. A rate that
    still rises (a warm-up) is waited for.

    Why it matters:
    A hundred thousand such steps, all in one direction, change a weight by its own size.

    Null hypothesis:
    Useful steps are about a thousandth of the weight.

    Bound and where it comes from:
    1e-5, the lower end of the window of GS702, while the loss has moved by less than two standard errors of its ten
    step medians: a warning.

    Example:
    SGD at a rate of 1e-6.

    Remedy:
    A rate at which the update is about a thousandth of the weight:

        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    Reference:
    You, Gitman and Ginsburg 2017 (LARS).
    """
    need_optimizer_steps(window)
    need_steps(window, 50)
    rates = window.column("rate")
    if rates[-1] > 1.2 * rates[-min(PAIR, len(rates))] or not window.now.stepped:
        return
    typical = _typical_update(window, PAIR)
    losses = window.column("loss")
    error = 2 * spread(losses[-50:]) / math.sqrt(RECENT)
    first = middle(np.array([math.nan if r.loss is None else r.loss for r in window.first[:RECENT]]))
    if not typical < TINY or abs(first - window.recent("loss")) > max(error, 0.02 * abs(first)):
        return
    name, rate = _lower(window, 1e-3 / typical if typical > 0 else 1e3)
    yield Fault(
        Severity.WARNING, "",
        f"A step changes the typical weight by {figure(typical)} of its size, and the loss has not moved in "
        f"{window.now.step} steps.",
        typical, TINY, "The learning rate is too small for gradients and weights of this size.",
        edit("Raise the learning rate.", phrase("the optimizer at this rate", name=name, rate=rate)),
    )  # fmt: skip


@training_rule("GT303", "The weights shrink away", cause="weights shrink", times=3, of=4)
def shrinking(window: Window) -> Iterator[Fault]:
    """Nearly all weights become smaller at every step, and the loss does not fall.

    What it does:
    Compares the norm of every weight with its norm before the first step and twenty steps ago.

    Why it matters:
    The network's signal and its gradient are products over all layers: weights that halve make both fall by 2 to the
    power of the depth.

    Null hypothesis:
    A gradient has next to nothing to do with the direction of the weights, so that training makes norms grow a little
    or leaves them. Weight decay of the usual size takes about a thousandth of a thousandth a step.

    Bound and where it comes from:
    The median weight has lost a fifth of its norm, four of five weights have lost half a per cent in twenty steps, and
    the loss keeps more than half of its first value: an error.

    Example:
    AdamW(lr=1e-3, weight_decay=50).

    Remedy:
    Weight decay of the usual size:

        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)

    Reference:
    Loshchilov and Hutter 2019, Decoupled weight decay regularization.
    """
    need_optimizer_steps(window)
    need_steps(window, 8)
    kernels = [k for k in window.kernels if len(window.weights_at_start) and window.weights_at_start[k] > 0]
    if not kernels or len(window.weights) < 2:
        raise Lacking("norms of weights that do not start at zero")
    now, before = window.weights[-1, kernels], window.weights[-min(PAIR, len(window.weights)), kernels]
    if np.isnan(before).all():
        raise Lacking("norms of weights at every step")
    left = middle(now / window.weights_at_start[kernels])
    falling = float(np.mean(now < FALLING * before))
    if not left < LEFT or falling < LEFT or window.improves:
        return
    pace = 1 - middle(now / before) ** (1 / min(PAIR - 1, len(window.weights) - 1))
    yield Fault(
        Severity.ERROR, "",
        f"The typical weight keeps {figure(100 * left)} % of its first norm and loses {figure(100 * pace)} % at every "
        "step.",
        left, LEFT, "Weight decay (or a penalty on the weights) is larger than what the gradient builds up.",
        edit(
            "Lower the weight decay.",
            phrase("an optimizer of small weight decay", name=window.optimizer.split(" ")[0]),
        ),
    )  # fmt: skip


@training_rule("GT304", "The steps go past the minimum", cause="rate too large", times=3, of=4)
def overshooting(window: Window) -> Iterator[Fault]:
    """Along their own directions the steps make the loss rise: the rate is above the stable one.

    What it does:
    Takes gradient · update before the step and, with the gradient of the next step, behind it, from a fixed sample of
    elements. To second order the loss changes by half of their sum. Averages that over twenty steps.

    Why it matters:
    Above the stable rate a descent moves away from the minimum, farther with every step. The sum turns positive before
    the loss itself shows it above its noise.

    Null hypothesis:
    The sum is negative while the loss falls, and zero on average where it has come to rest; at the edge of stability
    it scatters around zero.

    Bound and where it comes from:
    The mean over twenty steps is above zero by three standard errors, and would raise the loss by a tenth in twenty
    steps, in three of four judgements: a warning.

    Example:
    A learning rate that rises step by step.

    Remedy:
    A third of the rate, which is below the limit by a margin:

        for group in optimizer.param_groups:
            group["lr"] /= 3

    Reference:
    LeCun et al. 1998, Efficient backprop, section 4.6; Cohen et al. 2021, Gradient descent at the edge of stability.
    """
    need_optimizer_steps(window)
    need_steps(window, PAIR + 1)
    slope, ahead = window.column("slope")[-PAIR - 1 : -1], window.column("ahead")[-PAIR - 1 : -1]
    change = (slope + ahead) / 2
    change = change[np.isfinite(change)]
    loss = abs(window.recent("loss"))
    if len(change) < PAIR // 2:
        raise Lacking("gradients of two steps in a row")
    error = float(np.std(change, ddof=1)) / math.sqrt(len(change))
    mean = float(np.mean(change))
    if not mean > CERTAIN * error or mean * PAIR < 0.1 * loss or middle(change) <= 0:
        return
    name, rate = _lower(window, 1 / 3)
    yield Fault(
        Severity.WARNING, "",
        f"Over the last {PAIR} steps, each raises the loss by {figure(mean)} along its own direction; the loss is at "
        f"{figure(window.recent('loss'))}.",
        mean, 0.0, "The curvature along the steps is too large for steps of this length.",
        edit("Lower the learning rate.", phrase("the optimizer at this rate", name=name, rate=rate)),
    )  # fmt: skip
