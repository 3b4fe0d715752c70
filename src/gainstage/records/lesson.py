"""Records of the seven questions: claims, the figures that test them, and the verdicts that follow."""

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
"""``met`` and ``broken``: the whole interval lies on one side of the bound; ``open``: the bound lies inside it."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound that the whole confidence interval of a figure has to respect.

    Args:
        figure: name of the figure.
        above: the interval has to lie above this value.
        below: the interval has to lie below this value.
        case: the condition of the figure's measurement; a claim may hold in one case and not in another.

    >>> Bound("loss", below=2.0).words
    'below 2'
    """

    figure: str
    above: float | None = None
    below: float | None = None
    case: str = ""

    @property
    def words(self) -> str:
        """Return the bound in words."""
        limits = (("above", self.above), ("below", self.below))
        return ", ".join(f"{word} {value:.4g}" for word, value in limits if value is not None)

    def outcome(self, figure: Figure) -> Outcome:
        """Compare a figure's interval with the bound.

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
    """A statement that an experiment can test.

    Args:
        id: number of the question, a dot, and the claim's own number.
        statement: the claimed statement.
        criterion: the bounds that have to be met for the claim to hold; all bounds of one case form that case.
        source: where the claim was made.
        shows: names of further figures to print beside those of the criterion, in all their cases.
    """

    id: str
    statement: str
    criterion: tuple[Bound, ...]
    source: str
    shows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One bound of a criterion, and whether the figure met it."""

    bound: Bound
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a picture; the line is interrupted at points that are not finite."""

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
    """One picture for every position of a slider.

    Args:
        setting: the quantity that the slider changes.
        places: its values, in increasing order.
        pictures: one for each value; all have the same lines, in the same order.
        start: index of the initial value.
        hint: where to move the slider, and what appears there.
    """

    setting: str
    places: tuple[float, ...]
    pictures: tuple[Picture, ...]
    start: int = 0
    hint: str = ""


@dataclass(frozen=True)
class Evidence(Rendered):
    """One claim, the measured figures, and the verdict that the criterion gives.

    Args:
        claim: the tested claim.
        figures: the figures of the criterion, then the further figures that the claim shows.
        checks: every bound of the criterion, in the criterion's order.
        verdict: ``holds`` when every measured case meets its bounds, ``holds under conditions`` when some do, ``does
            not hold`` when none does, whether refuted or not shown.
        conditions: the cases in which the claim holds, those in which it does not, and what was not measured; empty
            when there is nothing to add.
        picture: a chart of the figures.
    """

    claim: Claim
    figures: tuple[Figure, ...]
    checks: tuple[Check, ...]
    verdict: Verdict
    conditions: str = ""
    picture: Picture | None = None


@dataclass(frozen=True)
class Answer(Rendered):
    """The answer to one question: its claims, tested by measurement.

    Args:
        number: number of the question.
        slug: short name of the question.
        question: the question itself.
        text: the answer for a learner, one string per paragraph.
        evidence: the claims of the question with their verdicts.
        try_it: commands for further experiments.
        references: the literature.
        setting: description of data and networks behind the figures.
        seed: the seed of all random numbers.
        quick: whether fewer and shorter trainings were run.
        seconds: duration of the experiments.
        slider: pictures over the values of one setting.
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
    """Several answers, in order."""

    answers: tuple[Answer, ...]
