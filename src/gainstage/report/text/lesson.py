"""Renders an answer as text: its explanation, then each claim with figures, verdict and picture."""

from __future__ import annotations

import math

from rich.text import Text

from gainstage.errors import InputError
from gainstage.records import Answer, Answers, Evidence, Figure, Outcome, Picture, Slider, Verdict
from gainstage.report.series import Series
from gainstage.report.text.page import Column, Page, Part
from gainstage.report.text.plot import line_plot

__all__ = ["QUICK", "add_answer", "add_answers", "add_evidence", "interval", "slider_line", "summary_line"]

MOST_LINES = 4  # lines of a text plot
QUICK = (
    "A quick look, with fewer and shorter trainings: what is not shown here may be shown by the figures worth quoting, "
    "without --quick."
)
PLOT_WIDTH, PLOT_HEIGHT = 96, 10

VERDICTS: dict[Verdict, tuple[str, str]] = {
    "holds": ("✓", "bold green"),
    "holds under conditions": ("◐", "bold yellow"),
    "does not hold": ("✗", "bold red"),
}
OUTCOMES: dict[Outcome, tuple[str, str]] = {
    "met": ("yes", "green"), "broken": ("no", "red"), "open": ("open", "yellow"), "not measured": ("–", "dim"),
}  # fmt: skip


def add_answers(page: Page, answers: Answers) -> None:
    """Add answers one after the other."""
    for place, answer in enumerate(answers.answers):
        if place:
            page.blank()
            page.blank()
        add_answer(page, answer)


def add_answer(page: Page, answer: Answer) -> None:
    """Add the question, the text, the claims, and commands for further experiments."""
    page.line((f"{answer.number}  {page.words(answer.question)}", "bold cyan"))
    for paragraph in answer.text:
        page.blank()
        page.line(page.words(paragraph))
    if answer.quick:
        page.blank()
        page.line((page.words(QUICK), "yellow"))
    for evidence in answer.evidence:
        page.blank()
        add_evidence(page, evidence)
    page.blank()
    page.line(("Try it yourself", "bold"))
    for line in answer.try_it:
        page.code(line, indent=2)
    if answer.slider is not None:
        page.line("  ", page.words(slider_line(answer.slider)))
    page.blank()
    page.line(("References", "bold"))
    for reference in answer.references:
        page.line("  ", page.words(reference))
    page.blank()
    page.line((page.words(summary_line(answer)), "dim"))


def slider_line(slider: Slider) -> str:
    """Describe the quantity that a page's slider changes, and what appears there."""
    return (
        f"A slider in the page that --html writes: {slider.setting}, from {slider.places[0]:g} to "
        f"{slider.places[-1]:g}. {slider.hint}"
    ).rstrip()


def summary_line(answer: Answer, *, timed: bool = True) -> str:
    """Describe data and networks of the figures, optionally the duration, and the meaning of the brackets."""
    took = f", {answer.seconds:.0f} s" if timed and math.isfinite(answer.seconds) else ""
    return (
        f"Measured on {answer.setting}; seed {answer.seed}{took}{', a quick look' if answer.quick else ''}. "
        "Brackets: 95 % confidence intervals over fresh draws of the weights."
    )


def add_evidence(page: Page, evidence: Evidence) -> None:
    """Add a claim, its verdict, its figures and its picture."""
    sign, style = VERDICTS[evidence.verdict]
    sign = sign if page.unicode else {"✓": "+", "◐": "~", "✗": "-"}[sign]
    claim = evidence.claim
    page.line((f"{sign} {claim.id}  {page.words(claim.statement)}", "bold"), ("  " + evidence.verdict.upper(), style))
    if evidence.conditions:
        page.field("", page.words(evidence.conditions))
    _add_figures(page, evidence)
    if claim.source:
        page.field("claimed", page.words(claim.source))
    if evidence.picture is not None:
        _add_picture(page, evidence.picture)


def _add_figures(page: Page, evidence: Evidence) -> None:
    """Add the figures, one row for every case, with the bound and whether it was met."""
    checks = {(check.bound.figure, check.bound.case): check for check in evidence.checks}
    for name in dict.fromkeys(figure.name for figure in evidence.figures):
        asked = dict.fromkeys(check.bound.words for check in evidence.checks if check.bound.figure == name)
        alike = len(asked) == 1
        page.line("  ", page.words(name), (f"   asked: {page.words(next(iter(asked)))}" if alike else "", "dim"))
        title = "case" if any(figure.case for figure in evidence.figures if figure.name == name) else ""
        rows: list[tuple[Part, ...]] = []
        for figure in evidence.figures:
            if figure.name == name:
                check = checks.get((name, figure.case))
                word: Part = OUTCOMES[check.outcome] if check else ""
                wanted = page.words(check.bound.words) if check and not alike else ""
                rows.append(("    " + page.words(figure.case or "value"), (interval(figure), "bold"), wanted, word))
        columns = [Column(f"    {title}", flexible=True), Column("measured"), Column("asked"), Column("kept")]
        told = [0, 1, 3] if alike or not asked else [0, 1, 2, 3]
        page.table([columns[i] for i in told], [tuple(row[i] for i in told) for row in rows])


def interval(figure: Figure) -> str:
    """Format a figure with its interval, with as many digits as the interval supports.

    >>> interval(Figure("x", 0.51234, 0.4911, 0.5322, n=5))
    '0.512 [0.491, 0.532] (n=5)'
    >>> interval(Figure("x", 0.25, 0.25, 0.25))
    '0.25'
    """
    unit = f" {figure.unit}" if figure.unit else ""
    if figure.n == 0:
        return f"{figure.value:.3g}{unit}"
    if not math.isfinite(figure.low) or not math.isfinite(figure.high):
        return f"{figure.value:.3g}{unit} (n={figure.n}, no interval)"
    value, low, high = _alike(figure.value, figure.low, figure.high)
    return f"{value} [{low}, {high}]{unit} (n={figure.n})"


def _alike(*values: float) -> tuple[str, ...]:
    """Format values with equal numbers of decimals, such that the interval has two digits."""
    width, largest = max(values) - min(values), max(map(abs, values))
    if not 1e-3 <= largest < 1e4:
        return tuple(f"{value:.3g}" for value in values)
    decimals = min(max(1 - math.floor(math.log10(width / 2)), 0), 4) if width > 0 else 3
    return tuple(f"{value:.{decimals}f}" for value in values)


def _add_picture(page: Page, picture: Picture) -> None:
    lines = [Series(line.label, line.x, line.y) for line in picture.lines[:MOST_LINES]]
    width = min(page.width - 4, PLOT_WIDTH)
    page.blank()
    page.line("  ", (page.words(picture.title), "italic"))
    try:
        plot = line_plot(
            lines, width=width, height=PLOT_HEIGHT, x_label=picture.x_label, y_label=picture.y_label,
            log_y=picture.log_y, unicode=page.unicode,
        )  # fmt: skip
    except InputError:
        return  # the terminal is too narrow for a chart; the figures contain the same
    for row in plot.split("\n"):
        page.verbatim(Text("  ").append_text(row))
