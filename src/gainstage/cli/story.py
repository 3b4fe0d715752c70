"""The demonstrations in words and pictures."""

from __future__ import annotations

import math

from rich.console import Console
from rich.text import Text

from gainstage.records import Assignment, Diagnosis, TrainingCurve
from gainstage.report import text
from gainstage.report.charts import Series, curves
from gainstage.report.text.plot import line_plot
from gainstage.workflows.demo import BATCH, CHECK_BATCH, ClassicDemo, DeepDemo, WeightFigure

__all__ = ["picture", "tell"]


def tell(console: Console, demo: DeepDemo | ClassicDemo, saved_as: str) -> None:
    """Print a demonstration, with the place of its picture."""
    if isinstance(demo, DeepDemo):
        _tell_deep(console, demo)
    else:
        _tell_classic(console, demo)
    console.print()
    console.print(f"Picture   {saved_as}")
    console.print("Your own  gainstage check yourpackage.nets:build --input 3,32,32")


def picture(demo: DeepDemo | ClassicDemo) -> str:
    """Both training curves as SVG."""
    what = f"{demo.before.optimizer} at {demo.before.learning_rate:g}"
    lines = _lines(demo.before, demo.after)
    return curves(lines, title=f"The same network, two starts ({what})", x_label="step", y_label="validation accuracy")


def _tell_deep(console: Console, demo: DeepDemo) -> None:
    depth, width = len(demo.sizes) - 2, demo.sizes[1]
    _heading(console, 1, "The network", f"{demo.sizes[0]} → {depth} × {width} {demo.activation} → {demo.sizes[-1]}, "
             "as PyTorch initializes it")  # fmt: skip
    _about(console, demo.data, demo.examples)
    _trained(console, demo.before)
    _heading(console, 2, "Check", f"one forward and one backward pass on {CHECK_BATCH} examples, before any training")
    text.print_to(console, demo.fixed.before)
    _heading(console, 3, "Fix", "the remedy applied, and a second check")
    text.print_to(console, demo.fixed)
    _heading(console, 4, "Train again", "the same network, data, order of examples and optimizer")
    _trained(console, demo.after)
    _plot(console, demo.before, demo.after)


def _tell_classic(console: Console, demo: ClassicDemo) -> None:
    inputs, width, classes = demo.sizes
    _heading(console, 1, "The network", f"Linear {inputs} → {width}, ReLU, Linear {width} → {classes}; "
             "both layers drawn by He's rule for relu")  # fmt: skip
    _about(console, demo.data, demo.examples)
    _heading(console, 2, "Check", "what is right, and what is questionable")
    for weight in demo.weights:
        _weight(console, weight)
    _say(
        console, "✓", "green", "He's variance keeps E[x²] through a relu, which zeroes half of it: right before a relu."
    )
    _say(console, "?", "yellow", f"No relu follows the last layer, so its factor of 2 has nothing to make up for. "
         f"{_start(demo.diagnosis)}")  # fmt: skip
    console.print()
    text.print_to(console, demo.diagnosis)
    _heading(console, 3, "Mend the head", "the same hidden layer, the head by its role")
    for assignment in _kernels_of_head(demo):
        console.print(f"  {assignment.parameter}: {assignment.scheme}, {assignment.reason}")
    console.print(f"  {_start(demo.mended)}")
    _heading(console, 4, "Train both", "the same data, order of examples and optimizer")
    _trained(console, demo.before)
    _trained(console, demo.after)
    _plot(console, demo.before, demo.after)


def _heading(console: Console, number: int, title: str, rest: str) -> None:
    console.print()
    console.print(Text.assemble((f"{number}  {title}", "bold cyan"), f"  {rest}"))
    console.print()


def _about(console: Console, data: str, examples: tuple[int, int]) -> None:
    console.print(f"  Data      {data}: {examples[0]:,} to train on, {examples[1]:,} held back")


def _say(console: Console, sign: str, style: str, words: str) -> None:
    console.print(Text.assemble((f"  {sign} ", f"bold {style}"), words))


def _weight(console: Console, weight: WeightFigure) -> None:
    close = abs(weight.deviation) < 3
    words = (
        f"{weight.path}: variance {weight.variance:.6f}; He asks for 2/{weight.fan_in} = {weight.target:.6f} "
        f"± {weight.tolerance:.6f} of sampling ({weight.deviation:+.1f} standard errors)"
    )
    _say(console, "✓" if close else "✗", "green" if close else "red", words)


def _start(diagnosis: Diagnosis) -> str:
    output, loss = diagnosis.profile.task.output, diagnosis.profile.task.loss
    spread = output.spread_within if output else None
    parts = []
    if spread is not None:
        parts.append(f"logits start with a spread of {spread:.2f} within an example")
    if loss is not None:
        floor = f"; knowing nothing costs {loss.uniform:.3f}" if loss.uniform is not None else ""
        parts.append(f"the loss starts at {loss.value:.3f}{floor}")
    sentence = ", ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _kernels_of_head(demo: ClassicDemo) -> list[Assignment]:
    return [assignment for assignment in demo.plan if assignment.parameter.startswith("head.")]


def _trained(console: Console, curve: TrainingCurve) -> None:
    accuracy, chance = curve.final.accuracy, curve.chance_accuracy
    how = f"{curve.steps} steps of {curve.optimizer} at {curve.learning_rate:g}, batches of {BATCH}"
    if accuracy is None or chance is None:
        console.print(f"  Training  {curve.label}, {how}: loss {curve.final.loss:.3f}")
        return
    line = Text(f"  Training  {curve.label}, {how}: ")
    line.append(f"{accuracy:.1%} right", "bold")
    line.append(f" of the examples held back (guessing: {chance:.1%})")
    console.print(line)


def _plot(console: Console, *trainings: TrainingCurve) -> None:
    console.print()
    unicode = console.encoding.lower().startswith("utf")
    width = min(console.width, 100)
    console.print(
        line_plot(_lines(*trainings), width=width, x_label="step", y_label="validation accuracy", unicode=unicode)
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
