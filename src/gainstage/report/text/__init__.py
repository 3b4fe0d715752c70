"""Renders records as terminal text."""

from __future__ import annotations

import io
import shutil

from rich.console import Console

from gainstage.errors import InputError
from gainstage.records import (
    Answer,
    Answers,
    Comparison,
    Diagnosis,
    Evidence,
    Fixed,
    Formats,
    History,
    Plan,
    Preflight,
    Profile,
    Scaling,
)
from gainstage.report.text.comparison import add_comparison
from gainstage.report.text.diagnosis import add_diagnosis, add_fixed
from gainstage.report.text.formats import add_formats
from gainstage.report.text.history import add_history
from gainstage.report.text.lesson import add_answer, add_answers, add_evidence
from gainstage.report.text.page import Page
from gainstage.report.text.plan import add_plan
from gainstage.report.text.preflight import add_preflight
from gainstage.report.text.profile import add_profile
from gainstage.report.text.rule import RulePage, add_rule
from gainstage.report.text.scaling import add_scaling

__all__ = ["RulePage", "Shown", "print_to", "render"]

Shown = (
    Answer
    | Answers
    | Comparison
    | Diagnosis
    | Evidence
    | Fixed
    | Formats
    | History
    | Plan
    | Preflight
    | Profile
    | RulePage
    | Scaling
)
"""The types that have a text form."""


def render(record: Shown, *, width: int | None = None, color: bool = False, unicode: bool = True) -> str:
    """Return the record as text that ends with a newline.

    Args:
        record: an Answer, several Answers, a Comparison, Diagnosis, Evidence, Fixed, Formats, History, Plan, Preflight,
            Profile, Scaling, or a rule.
        width: cells per line, limited to 40 to 200; by default the terminal's. Lines of code are never wrapped.
        color: whether to add ANSI colours; the environment variable ``NO_COLOR`` overrules it.
        unicode: whether characters beyond ASCII may be used.

    Raises:
        InputError: there is no text form of such an object.

    >>> from gainstage.records import Plan
    >>> print(render(Plan(assignments=(), seed=3, scheme="auto"), width=80).splitlines()[0])
    PLAN  auto, seed 3: 0 arrays, 0 values. Only applying a plan writes weights.
    """
    if width is None:
        width = shutil.get_terminal_size().columns
    page = _page(record, width, unicode)
    out = io.StringIO()
    console = Console(
        file=out,
        width=page.width,
        force_terminal=color,
        color_system="standard" if color else None,
        legacy_windows=False,
        force_jupyter=False,  # in a notebook, rich would display every line separately
    )
    page.print_to(console)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).rstrip("\n") + "\n"


def print_to(console: Console, record: Shown) -> None:
    """Print the record, in the console's width, colours and encoding.

    Raises:
        InputError: there is no text form of such an object.
    """
    _page(record, console.width, console.encoding.lower().startswith("utf")).print_to(console)


def _page(record: Shown, width: int, unicode: bool) -> Page:
    page = Page(width, unicode=unicode)
    match record:
        case Answer():
            add_answer(page, record)
        case Answers():
            add_answers(page, record)
        case Comparison():
            add_comparison(page, record)
        case Diagnosis():
            add_diagnosis(page, record)
        case Evidence():
            add_evidence(page, record)
        case Fixed():
            add_fixed(page, record)
        case Formats():
            add_formats(page, record)
        case History():
            add_history(page, record)
        case Preflight():
            add_preflight(page, record)
        case Scaling():
            add_scaling(page, record)
        case Plan():
            add_plan(page, record)
        case Profile():
            add_profile(page, record)
        case RulePage():
            add_rule(page, record)
        case _:
            raise InputError(f"There is no text form of a {type(record).__name__}.")
    return page
