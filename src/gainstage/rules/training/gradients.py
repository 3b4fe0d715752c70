"""GT1xx: gradients that explode, vanish or are no numbers while training."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gainstage.records import NonFinite, Severity
from gainstage.rules.remedies import edit, phrase
from gainstage.rules.table import Fault, Lacking
from gainstage.rules.training.table import training_rule
from gainstage.rules.training.window import Window, middle, need_steps, spread
from gainstage.rules.words import figure

__all__: list[str] = []

JUMP = 30.0  # times the median of the steps before
UNITS = 6.0  # robust standard deviations of the logarithm
FADED = 0.01  # of the first gradients
ENOUGH = 20  # steps before, for a median and a spread


@training_rule("GT101", "The gradient explodes", cause="gradient explodes")
def exploding(window: Window) -> Iterator[Fault]:
    """The norm of the gradient jumps far beyond everything that it was before.

    What it does:
    Compares the norm of the whole gradient, before clipping and without the loss scale, with its median over the
    hundred steps before the last five, and its logarithm with the robust spread of their logarithms, where the steps
    before were as large as usual (a step that was too large is judged by GT301). Names the weight whose own gradient
    grew most.

    Why it matters:
    One step along such a gradient throws the weights far away. With Adam the squared gradient also makes all steps tiny
    for about 1/(1 - beta_2) steps.

    Null hypothesis:
    Logarithms of gradient norms scatter around a median that drifts by less than the scatter in a hundred steps.

    Bound and where it comes from:
    Thirty times the median and six robust standard deviations of the logarithm above it: in normal logarithms once in
    a billion steps. An error. Judged from the step of the jump on, so that a single step counts.

    Example:
    A recurrent network over sixty steps, without clipping.

    Remedy:
    Clip the gradient at a few times its usual norm:

        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    Reference:
    Pascanu, Mikolov and Bengio 2013, On the difficulty of training recurrent neural networks, section 2.2.
    """
    need_steps(window, ENOUGH + 5)
    now = window.now.gradient
    before = window.earlier("gradient", gap=5)
    before = before[before > 0]
    if now is None:
        raise Lacking("the norm of the gradient at every step")
    if not window.now.stepped or len(before) < ENOUGH or not math.isfinite(now) or now <= 0:
        return
    usual, scatter = middle(before), max(spread(np.log(before)), 0.1)
    if now <= JUMP * usual or math.log(now / usual) <= UNITS * scatter or not window.as_usual:
        return
    place, factor = first_to_grow(window)
    yield Fault(
        Severity.ERROR,
        place,
        f"The gradient's norm is {figure(now)} at step {window.now.step}, {figure(now / usual)} times its median of "
        f"{figure(usual)}" + (f"; '{place}' grew most, {figure(factor)} times." if place else "."),
        now / usual,
        JUMP,
        "The slope of the loss changes by orders of magnitude within one step, as at the edge of a cliff: products of "
        "many factors above one, in a recurrence or in depth.",
        edit(
            "Clip the gradient at a few times its usual norm.",
            phrase("a gradient clipped to a norm", norm=figure(3 * usual)),
        ),
    )


def first_to_grow(window: Window) -> tuple[str, float]:
    """The parameter whose gradient is largest against its own median, and that factor."""
    gradients = window.gradients
    if len(gradients) < ENOUGH:
        return "", math.nan
    with np.errstate(all="ignore"):
        usual = np.array([middle(column[:-1]) for column in gradients.T])
        factors = gradients[-1] / usual
    factors[~np.isfinite(factors)] = 0.0
    place = int(np.argmax(factors))
    return window.parameters[place].path, float(factors[place])


@training_rule("GT102", "The gradient has vanished", cause="gradient vanishes", times=3, of=4)
def vanishing(window: Window) -> Iterator[Fault]:
    """The gradient has become a hundredth of what it was, and the loss has not come down with it.

    What it does:
    Compares the median norm of the last ten gradients with that of the first twenty steps, for the whole model and for
    the first weight against the last one.

    Why it matters:
    Steps follow the gradient (or, with Adam, its noise): the network has stopped learning although its loss is as large
    as before.

    Null hypothesis:
    The gradient of a loss falls with the loss itself: a squared error that falls to 1/k has a gradient of 1/√k, a
    cross-entropy one of about 1/k. A loss that keeps more than half of its first value keeps its gradient within an
    order of magnitude.

    Bound and where it comes from:
    One hundredth of the first gradients, while the loss keeps more than half of its first value: an error.

    Example:
    A generator whose discriminator recognises every sample; units of sigmoid or tanh pushed to their bounds.

    Remedy:
    Find the layer that stopped the gradient in the picture of gradients over depth, start again from weights at the
    right level, and lower the rate:

        gs.initialize(model, x=x)

    Reference:
    Glorot and Bengio 2010, section 3; Arjovsky and Bottou 2017, section 2.
    """
    need_steps(window, 40)
    first = middle(np.array([math.nan if r.gradient is None else r.gradient for r in window.first]))
    now = window.recent("gradient")
    if math.isnan(first) or math.isnan(now):
        raise Lacking("norms of gradients, in the first steps and now")
    if not (first > 0 and math.isfinite(now)) or window.improves:
        return
    if now < FADED * first:
        yield Fault(
            Severity.ERROR, "",
            f"The gradient's norm is {figure(now)}, against {figure(first)} in the first steps, while the loss keeps "
            f"{figure(max(1 - window.improvement, 0.0) * 100)} % of its first value.",
            now / first, FADED,
            "An activation, a sigmoid or a softmax on the way has gone flat for all examples, or the weights behind it "
            "have become too small to pass anything back.",
            edit("Lower the rate and start from levels that hold.", phrase("a start at the right level")),
        )  # fmt: skip


@training_rule("GT103", "A value is not a number", cause="not a number")
def not_a_number(window: Window) -> Iterator[Fault]:
    """The loss or a gradient is NaN or infinite.

    What it does:
    Looks at the loss and at the norm of every gradient in every step. Where one is not finite, runs the very batch once
    more, with the weights that it met, and names the first operation whose output is not finite though its inputs are;
    if there is none, the operation behind the last finite gradient on the way back. Steps that a loss scale skips are
    judged by GT504.

    Why it matters:
    After the next step every weight is NaN.

    Null hypothesis:
    Every value is finite.

    Bound and where it comes from:
    None: one such value is an error.

    Example:
    The logarithm of zero; the gradient of a square root at zero; an example with an infinite feature.

    Remedy:
    Guard the operation that is named, or clean the example:

        torch.log(x.clamp(min=1e-12))

    Reference:
    Goldberg 1991, What every computer scientist should know about floating-point arithmetic.
    """
    origin = window.nonfinite
    if origin is None:
        now = window.now
        values = [v for v in (now.loss, now.gradient) if v is not None]
        if not now.stepped or all(map(math.isfinite, values)):
            return
        origin = NonFinite(now.step, "", "unknown")
    yield Fault(
        Severity.ERROR, origin.place, f"Step {origin.step}: {_where(origin)}.", math.nan, 0.0, _why(origin),
        edit("Guard that operation, or clean that example.", phrase(_guard(origin))),
    )  # fmt: skip


def _where(origin: NonFinite) -> str:
    place = f"'{origin.place}'" if origin.place else "a place that was not seen"
    match origin.kind:
        case "input":
            return f"the input {place} holds NaN or infinite values" + (
                f", in {origin.operation}" if origin.operation else ""
            )
        case "parameter":
            return f"the parameter {place} holds NaN or infinite values already"
        case "forward":
            return f"the output of {origin.operation} in {place} is the first that is not finite"
        case "backward":
            return f"every output is finite, and the gradient through {origin.operation} in {place} is not"
        case "loss":
            return "every output of the model is finite, and the loss or its gradient is not"
    return "the loss or a gradient is NaN or infinite"


def _why(origin: NonFinite) -> str:
    match origin.kind:
        case "input":
            return "The data hold a value that is not finite; nothing in the model is at fault."
        case "parameter":
            return "An earlier step wrote it: look at the step before, and at the learning rate."
        case "forward":
            return f"{origin.operation} met an argument outside of its domain or overflowed its number format."
        case "backward":
            return f"The derivative of {origin.operation} is infinite or undefined at the value that it met."
    return "The loss is computed outside of its domain, such as the logarithm of zero."


def _guard(origin: NonFinite) -> str:
    for word, meaning in (
        ("log", "a guarded logarithm"), ("exp", "a guarded exponential"), ("rsqrt", "a guarded inverse root"),
        ("sqrt", "a guarded root"), ("reciprocal", "a guarded reciprocal"),
        ("pow", "a guarded power"),
    ):  # fmt: skip
        if word in origin.operation:
            return meaning
    return "examples that are finite" if origin.kind == "input" else "a search for the line"


def need_optimizer_steps(window: Window) -> None:
    """Refuse to judge where no update was measured.

    Raises:
        Lacking: no step of an optimizer was seen.
    """
    if window.now.update is None or not len(window.kernels):
        raise Lacking("a step of an optimizer that holds a weight")
