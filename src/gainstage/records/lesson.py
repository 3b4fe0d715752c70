"""Answers to questions: claims, the figures they were tested with, and the verdicts that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gainstage.records.figure import Figure
from gainstage.records.rendering import Rendered

__all__ = [
    "Answer", "Answers", "Bound", "Check", "Claim", "Evidence", "Line", "Outcome", "Picture", "Slider", "Verdict",
]  # fmt: skip

Verdict = Literal["holds", "holds under conditions", "does not hold"]

Outcome = Literal["met", "open", "broken", "not measured"]
"""``met`` and ``broken``: the whole interval is on one side of the bound; ``open``: the bound lies inside of it."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure has to keep, with its whole interval.

    Args:
        figure: its name.
        above: it has to lie above this.
        below: it has to lie below this.
        case: the condition under which the figure was taken; a claim may hold in one case and not in another.

    >>> Bound("loss", below=2.0).words
    'below 2'
    """

    figure: str
    above: float | None = None
    below: float | None = None
    case: str = ""

    @property
    def words(self) -> str:
        """What the figure is asked to be."""
        limits = (("above", self.above), ("below", self.below))
        return ", ".join(f"{word} {value:.4g}" for word, value in limits if value is not None)

    def outcome(self, figure: Figure) -> Outcome:
        """How a figure meets the bound.

        >>> Bound("x", above=1.0).outcome(Figure("x", 2.0, 0.5, 3.5))
        'open'
        """
        above = -math.inf if self.above is None else self.above
        below = math.inf if self.below is None else self.below
        if (self.above is None or figure.low > above) and (self.below is None or figure.high < below):
            return "met"
        return "broken" if figure.high <= above or figure.low >= below else "open"


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement that can be tested.

    Args:
        id: number of its question, a dot, and its own number.
        statement: what is claimed.
        criterion: what has to be measured for it to hold; all bounds of a case together make the case.
        source: who said so.
        shows: names of further figures to print beside those of the criterion, in all their cases.
    """

    id: str
    statement: str
    criterion: tuple[Bound, ...]
    source: str
    shows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One bound, and whether it was kept."""

    bound: Bound
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a picture; points that are not finite interrupt it."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """A line chart, as data."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    log_y: bool = False


@dataclass(frozen=True, slots=True)
class Slider:
    """A picture for every place of a slider.

    Args:
        setting: what it changes.
        places: its values, rising.
        pictures: one for each place; all have the same lines, in the same order.
        start: index of the place to begin with.
        hint: where to move it, and what is seen there.
    """

    setting: str
    places: tuple[float, ...]
    pictures: tuple[Picture, ...]
    start: int = 0
    hint: str = ""


@dataclass(frozen=True)
class Evidence(Rendered):
    """One claim, what was measured, and the verdict that the criterion gives.

    Args:
        claim: what was tested.
        figures: those the criterion speaks of, then the others that the claim shows.
        checks: every bound of the criterion, in its order.
        verdict: ``holds`` when every measured case keeps its bounds, ``holds under conditions`` when some do,
            ``does not hold`` when none does, be it refuted or not shown.
        conditions: in which cases it holds, in which it does not, and what was not measured; empty when there is
            nothing to add.
        picture: what to look at.
    """

    claim: Claim
    figures: tuple[Figure, ...]
    checks: tuple[Check, ...]
    verdict: Verdict
    conditions: str = ""
    picture: Picture | None = None


@dataclass(frozen=True)
class Answer(Rendered):
    """One question, answered by what was measured.

    Args:
        number: of the question.
        slug: its short name.
        question: in words.
        text: the answer for a learner, paragraph by paragraph.
        evidence: its claims, tested.
        try_it: command lines to go on with.
        references: the literature.
        setting: data and networks behind the figures.
        seed: of everything random.
        quick: whether this was the first look, with fewer and shorter trainings.
        seconds: how long it took.
        slider: a picture to play with.
    """

    number: int
    slug: str
    question: str
    text: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    try_it: tuple[str, ...]
    references: tuple[str, ...]
    setting: str = ""
    seed: int = 0
    quick: bool = False
    seconds: float = math.nan
    slider: Slider | None = None


@dataclass(frozen=True)
class Answers(Rendered):
    """Several answers, one after the other."""

    answers: tuple[Answer, ...]
