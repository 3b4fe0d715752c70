"""The demonstrations in words and pictures."""

from __future__ import annotations

import math

from rich.console import Console

from gainstage.records import Diagnosis, TrainingCurve
from gainstage.report import text
from gainstage.report.charts import Series, curves
from gainstage.report.text.page import Page
from gainstage.report.text.plot import line_plot
from gainstage.workflows.demo import CHECK_BATCH, ClassicDemo, DeepDemo, WeightFigure

__all__ = ["picture", "tell"]

PLOT_WIDTH = 100


def tell(console: Console, demo: DeepDemo | ClassicDemo, saved_as: str) -> None:
    """Print a demonstration, with the place of its picture."""
    if isinstance(demo, DeepDemo):
        _tell_deep(console, demo)
    else:
        _tell_classic(console, demo)
    page = _page(console)
    page.blank()
    page.field("picture", saved_as)
    page.field("your own", "gainstage check yourpackage.nets:build --input 3,32,32")
    page.print_to(console)


def picture(demo: DeepDemo | ClassicDemo) -> str:
    """Both training curves as SVG."""
    title = f"The same network, two starts ({_optimizer(demo.before)})"
    return curves(_lines(demo.before, demo.after), title=title, x_label="step", y_label="validation accuracy")


def _tell_deep(console: Console, demo: DeepDemo) -> None:
    depth, width = len(demo.sizes) - 2, demo.sizes[1]
    page = _chapter(console, 1, "The network", "as PyTorch initializes it")
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
    _plot(console, demo.before, demo.after)


def _tell_classic(console: Console, demo: ClassicDemo) -> None:
    inputs, width, classes = demo.sizes
    page = _chapter(console, 1, "The network", "of the textbooks, both layers drawn by He's rule for relu")
    page.field("network", f"Linear {inputs} → {width}, ReLU, Linear {width} → {classes}")
    _about(page, demo.data, demo.examples)
    page.print_to(console)

    page = _chapter(console, 2, "Check", f"one forward and one backward pass on {CHECK_BATCH} examples")
    for weight in demo.weights:
        _drawn(page, weight)
    page.field(
        "right", "A relu zeroes half of a centred signal, and He's factor of 2 makes up for that: right before one."
    )
    page.field(
        "questionable", "No relu follows the head, so there its factor of 2 makes up for nothing.", style="yellow"
    )
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
    page.print_to(console)
    _plot(console, demo.before, demo.after)


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


def _drawn(page: Page, weight: WeightFigure) -> None:
    page.field(
        "as drawn" if weight.as_drawn else "off", page.words(weight.path), (
            f"  variance {weight.variance:.6f}; He: 2/{weight.fan_in} = {weight.target:.6f}, "
            f"sampling error {weight.tolerance:.6f}"
        ), style="green" if weight.as_drawn else "red",
    )  # fmt: skip


def _start(page: Page, diagnosis: Diagnosis) -> None:
    output, loss = diagnosis.profile.task.output, diagnosis.profile.task.loss
    if output is not None and output.spread_within is not None:
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


def _plot(console: Console, *trainings: TrainingCurve) -> None:
    console.print()
    width = min(console.width, PLOT_WIDTH)
    lines = _lines(*trainings)
    console.print(
        line_plot(lines, width=width, x_label="step", y_label="validation accuracy", unicode=_unicode(console))
    )


def _lines(*trainings: TrainingCurve) -> list[Series]:
    return [
        Series(
            curve.label,
            tuple(float(e.step) for e in curve.evaluations),
            tuple(math.nan if e.accuracy is None else e.accuracy for e in curve.evaluations),
        )
        for curve in trainings
    ]
