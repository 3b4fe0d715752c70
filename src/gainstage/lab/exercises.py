"""The seven questions as cards: guess, experiment, figure with interval, verdict by the claim's criterion, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from gainstage.errors import UnknownNameError
from gainstage.lab.hints import HINTS
from gainstage.lab.pictures import bare
from gainstage.lab.state import State
from gainstage.lessons import QUESTIONS, find, open_question
from gainstage.lessons.question import Question, Setting, Study, evidence
from gainstage.records import Answers, Check, Claim, Evidence
from gainstage.report.charts import Series, curves
from gainstage.report.json import loads
from gainstage.report.placement import evenly
from gainstage.report.text.lesson import interval

__all__ = ["Card", "cards", "experiment", "full_run", "questions", "shown"]

MOST_CASES = 6
"""Cases of a claim that a card asks about; of more, evenly chosen ones are asked and all are measured."""

CODE = {
    "PyTorch": """\
import torch
from torch import nn

net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
nn.init.kaiming_normal_(net[0].weight, nonlinearity="relu")
nn.init.zeros_(net[0].bias)
nn.init.normal_(net[2].weight, std=0.01)  # the output layer: no relu behind it
nn.init.zeros_(net[2].bias)""",
    "TensorFlow": """\
import tensorflow as tf
from tensorflow import keras

net = keras.Sequential([
    keras.Input((784,)),
    keras.layers.Dense(128, "relu", kernel_initializer="he_normal"),
    keras.layers.Dense(10, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01)),
])  # biases start at zero by themselves""",
}
"""He initialization in both frameworks, for question 7."""


@dataclass(frozen=True, slots=True)
class Card:
    """One exercise.

    Args:
        claim: id of the claim.
        statement: the claim itself, shown with the verdict.
        ask: the question to the learner.
        cases: the cases that the learner guesses about, one by one; empty where the claim has one case only.
        criterion: what decides, in words.
        why: what a wrong guess overlooked.
        source: where the claim was made.
        study: the experiment's title; cards of one study share its run.
    """

    claim: str
    statement: str
    ask: str
    cases: tuple[str, ...]
    criterion: str
    why: str
    source: str
    study: str


def cards(question: Question) -> tuple[Card, ...]:
    """Return the cards of a question, one for each claim."""
    return tuple(_card(claim, study) for study in question.studies for claim in study.claims)


def _card(claim: Claim, study: Study) -> Card:
    ask, why = HINTS[claim.id]
    every = list(dict.fromkeys(bound.case for bound in claim.criterion if bound.case))
    cases = tuple(every[i] for i in evenly(len(every), MOST_CASES))
    words = list(dict.fromkeys(f"{bound.figure}: {bound.words}" for bound in claim.criterion))
    told = "; ".join(words[:3])
    return Card(claim.id, claim.statement, ask, cases if len(every) > 1 else (), told, why, claim.source, study.title)


def questions() -> list[dict[str, Any]]:
    """Return all questions with their cards, the answers in words, and the network to play with."""
    found = []
    for entry in QUESTIONS:
        question = open_question(entry)
        found.append({
            "number": question.number,
            "question": question.question,
            "text": question.text,
            "setting": question.setting,
            "references": question.references,
            "play": _play(question),
            "hint": question.play.hint if question.play is not None else "",
            "code": CODE if question.number == 7 else {},
            "cards": [asdict(card) for card in cards(question)],
        })  # fmt: skip
    return found


def _play(question: Question) -> str:
    """Return the query of the network that a question invites to play with; empty where it has none."""
    play = question.play
    if play is None:
        return ""
    return State(
        depth=play.layers, width=64, activation=play.activation, norm=play.norm, scheme=play.scheme, gain=play.gain
    ).query


def experiment(
    claim: str, *, seed: int, quick: bool, report: Callable[[str, int, int], None]
) -> Iterator[dict[str, Any]]:
    """Run the experiment behind a claim and yield what every claim of its study says, that claim first.

    Args:
        claim: id of the claim.
        seed: of all random numbers.
        quick: run fewer and shorter trainings.
        report: receives the progress; what it raises ends the experiment.

    Raises:
        UnknownNameError: there is no such claim.
        GainstageError: the experiment cannot be run here.
    """
    study = _study(claim)
    measured = study.experiment(Setting(seed, quick, report))
    for one in sorted(study.claims, key=lambda c: c.id != claim):
        yield shown(evidence(one, measured))


def _study(claim: str) -> Study:
    known = list(HINTS)
    if claim not in known:
        raise UnknownNameError("claim", claim[:20], known)
    question = open_question(find(claim.partition(".")[0]))
    return next(study for study in question.studies if any(c.id == claim for c in study.claims))


def shown(found: Evidence, width: float = 560) -> dict[str, Any]:
    """Return evidence as data for a card: verdict, every check with its figure, and the picture."""
    by_case = {(f.name, f.case): f for f in found.figures}
    rows = [
        {
            "case": check.bound.case,
            "figure": check.bound.figure,
            "measured": interval(by_case[check.bound.figure, check.bound.case])
            if (check.bound.figure, check.bound.case) in by_case
            else "not measured here",
            "asked": check.bound.words,
            "outcome": check.outcome,
        }
        for check in found.checks
    ]
    return {
        "claim": found.claim.id,
        "statement": found.claim.statement,
        "verdict": found.verdict,
        "conditions": found.conditions,
        "rows": rows,
        "outcomes": _outcomes(found.checks),
        "picture": _picture(found, width),
    }


def _outcomes(checks: tuple[Check, ...]) -> dict[str, bool | None]:
    """Return for every case whether the answer to the card's question is yes; None where it was not measured.

    That is whether the case met its bounds. Where one figure has to lie above a value in some cases and below the same
    value in others, it is whether the figure lies above.
    """
    outcomes: dict[str, bool | None] = {}
    upper = {(c.bound.figure, c.bound.above) for c in checks if c.bound.above is not None}
    for check in checks:
        met = None if check.outcome == "not measured" else check.outcome == "met"
        if check.bound.above is None and (check.bound.figure, check.bound.below) in upper and met is not None:
            met = not met
        before = outcomes.get(check.bound.case, True)
        outcomes[check.bound.case] = None if met is None or before is None else before and met
    return outcomes


def _picture(found: Evidence, width: float) -> str:
    if found.picture is None:
        return ""
    picture = found.picture
    lines = [Series(line.label, line.x, line.y) for line in picture.lines][:12]
    return bare(
        curves(
            lines, title=picture.title, x_label=picture.x_label, y_label=picture.y_label, log_y=picture.log_y,
            width=width, height=300,
        )
    )  # fmt: skip


@lru_cache(maxsize=1)
def full_run() -> Answers | None:
    """Return the answers of the full run that come with the package; None where there are none."""
    path = Path(__file__).parent / "full_run.json"
    if not path.is_file():
        return None
    found = loads(path.read_text(encoding="utf-8"))
    return found if isinstance(found, Answers) else None
