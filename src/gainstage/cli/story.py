"""The demonstrations in words and pictures."""

from __future__ import annotations

import math

from rich.console import Console

from gainstage.records import Diagnosis, Evaluation, TrainingCurve
from gainstage.report import text
from gainstage.report.charts import Series, curves
from gainstage.report.text.page import Column, Page, Part
from gainstage.report.text.plot import line_plot
from gainstage.workflows.demo import CHECK_BATCH, ClassicDemo, DeepDemo, WeightFigure

__all__ = ["picture", "tell"]

PLOT_WIDTH = 100
_TITLES = {"torch": "PyTorch", "keras": "Keras"}
ACCURACY, LOSS = "validation accuracy", "validation loss"


def tell(console: Console, demo: DeepDemo | ClassicDemo, saved_as: str, report: str = "") -> None:
    """Print a demonstration, with the places of its picture and of its page."""
    if isinstance(demo, DeepDemo):
        _tell_deep(console, demo)
    else:
        _tell_classic(console, demo)
    page = _page(console)
    page.blank()
    page.field("picture", saved_as)
    if report:
        page.field("report", f"{report}: what is wrong, pictures, every layer; opens in any browser, offline")
    page.field("your own", "gainstage check yourpackage.nets:build --input 3,32,32")
    page.print_to(console)


def picture(demo: DeepDemo | ClassicDemo) -> str:
    """Both training curves as SVG."""
    title = f"The same network, two starts ({_optimizer(demo.before)})"
    if isinstance(demo, DeepDemo):
        return curves(_accuracies(demo), title=title, x_label="step", y_label=ACCURACY)
    return curves(_losses_of(demo), title=title, x_label="step", y_label=LOSS)


def _tell_deep(console: Console, demo: DeepDemo) -> None:
    depth, width = len(demo.sizes) - 2, demo.sizes[1]
    page = _chapter(console, 1, "The network", f"as {_TITLES[demo.framework]} initializes it")
    page.field("network", f"{demo.sizes[0]} → {depth} × {width} {demo.activation} → {demo.sizes[-1]}")
    _about(page, demo.data, demo.examples)
    _trained(page, demo.before)
    page.print_to(console)

    _chapter(console, 2, "Check", f"one forward and one backward pass on {CHECK_BATCH} examples").print_to(console)
    text.print_to(console, demo.fixed.before)

    _chapter(console, 3, "Fix", "apply the remedy, and check again").print_to(console)
    text.print_to(console, demo.fixed)

    page = _chapter(console, 4, "Train again", "same network, same data, same optimizer")
    _trained(page, demo.before, demo.after)
    page.print_to(console)
    _plot(console, _accuracies(demo), ACCURACY)


def _tell_classic(console: Console, demo: ClassicDemo) -> None:
    inputs, width, classes = demo.sizes
    page = _chapter(console, 1, "The network", "of the textbooks, both layers drawn by He's rule for relu")
    if demo.framework == "keras":
        page.field("network", f"Dense {inputs} → {width} relu, Dense {width} → {classes} softmax; Keras's HeNormal")
    else:
        page.field("network", f"Linear {inputs} → {width}, ReLU, Linear {width} → {classes}")
    _about(page, demo.data, demo.examples)
    page.print_to(console)

    page = _chapter(console, 2, "Check", f"one forward and one backward pass on {CHECK_BATCH} examples")
    columns = [
        Column("weight", flexible=True),
        Column("variance"),
        Column("2 / fan_in"),
        Column("sampling"),
        Column(""),
    ]
    page.table(columns, [_drawn(weight) for weight in demo.weights])
    page.blank()
    page.field(
        "right", "A relu zeroes half of a centred signal, and He's factor of 2 makes up for it: right before one."
    )
    page.field("doubtful", "No relu follows the head, so there its factor of 2 makes up for nothing.", style="yellow")
    _start(page, demo.diagnosis)
    page.blank()
    page.print_to(console)
    text.print_to(console, demo.diagnosis)

    page = _chapter(console, 3, "Mend the head", "the hidden layer stays as it is")
    for assignment in demo.plan:
        if assignment.parameter.startswith("head.") and assignment.kernel is not None:
            page.field("head", assignment.reason)
    _start(page, demo.mended)
    page.print_to(console)

    page = _chapter(console, 4, "Train both", "same data, same optimizer")
    _trained(page, demo.before, demo.after)
    _compared(page, demo.before, demo.after, demo.examples[1])
    page.print_to(console)
    _plot(console, _losses_of(demo), LOSS)


def _page(console: Console) -> Page:
    return Page(console.width, unicode=_unicode(console))


def _unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def _chapter(console: Console, number: int, title: str, rest: str) -> Page:
    page = _page(console)
    page.blank()
    page.line((f"{number}  {title}", "bold cyan"), f"  {page.words(rest)}")
    page.blank()
    return page


def _about(page: Page, data: str, examples: tuple[int, int]) -> None:
    page.field("data", page.words(f"{data}: {examples[0]:,} to train on, {examples[1]:,} held back"))


def _drawn(weight: WeightFigure) -> tuple[Part, ...]:
    return (
        weight.path,
        f"{weight.variance:.6f}",
        f"2/{weight.fan_in} = {weight.target:.6f}",
        f"± {weight.tolerance:.6f}",
        ("as drawn", "green") if weight.as_drawn else ("off", "red"),
    )


def _start(page: Page, diagnosis: Diagnosis) -> None:
    output, loss = diagnosis.profile.task.output, diagnosis.profile.task.loss
    if output is not None and output.function == "softmax" and output.minimum is not None:
        page.field(
            "output",
            f"starts with probabilities from {output.minimum:.3g} to {output.maximum or 0:.3g}; equal ones are "
            f"{1 / output.units:.3g}",
        )
    elif output is not None and output.spread_within is not None:
        page.field("logits", f"start with a spread of {output.spread_within:.3f} within one example")
    if loss is not None:
        chance = f"; equal probabilities cost {loss.uniform:.3f}" if loss.uniform is not None else ""
        page.field("loss", f"starts at {loss.value:.3f}{chance}")


def _optimizer(curve: TrainingCurve) -> str:
    return f"{curve.steps} steps of {curve.optimizer} at {curve.learning_rate:g}"


def _trained(page: Page, *curves: TrainingCurve) -> None:
    for curve in curves:
        accuracy = curve.final.accuracy
        right = "" if accuracy is None else f"{accuracy:.1%} right"
        page.field("training", page.words(f"{curve.label}: "), (right, "bold"), f" after {_optimizer(curve)}")
    if curves[0].chance_accuracy is not None:
        page.field("guessing", f"{curves[0].chance_accuracy:.1%} right")


def _compared(page: Page, before: TrainingCurve, after: TrainingCurve, held: int) -> None:
    """What the other start is worth, at the start, early, and at the end against the sampling error."""
    page.field("start", _losses(before.evaluations[0], after.evaluations[0]))
    if before.steps > before.evaluations[1].step:
        page.field("early on", _losses(before.evaluations[1], after.evaluations[1]))
    if before.final.accuracy is None or after.final.accuracy is None:
        return
    gained = after.final.accuracy - before.final.accuracy
    error = math.sqrt(sum(a * (1 - a) for a in (before.final.accuracy, after.final.accuracy)) / held)
    if abs(gained) < 2 * error:
        verdict = "No lasting harm in a net this small: at the end both are right equally often"
    else:
        verdict = f"At the end the mended head is right {'more' if gained > 0 else 'less'} often"
    page.field("verdict", f"{verdict} ({100 * gained:+.1f} points, sampling error {100 * error:.1f}).")


def _losses(before: Evaluation, after: Evaluation) -> str:
    return f"loss {before.loss:.3f} before and {after.loss:.3f} after mending, at step {before.step}"


def _plot(console: Console, lines: list[Series], measure: str) -> None:
    console.print()
    width = min(console.width, PLOT_WIDTH)
    console.print(line_plot(lines, width=width, x_label="step", y_label=measure, unicode=_unicode(console)))


def _accuracies(demo: DeepDemo) -> list[Series]:
    return [
        _series(curve, [math.nan if e.accuracy is None else e.accuracy for e in curve.evaluations])
        for curve in (demo.before, demo.after)
    ]


def _losses_of(demo: ClassicDemo) -> list[Series]:
    return [_series(curve, [e.loss for e in curve.evaluations]) for curve in (demo.before, demo.after)]


def _series(curve: TrainingCurve, values: list[float]) -> Series:
    return Series(curve.label, tuple(float(e.step) for e in curve.evaluations), tuple(values))
