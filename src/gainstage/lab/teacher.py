"""The teacher's page: every question with its cards and the figures of the full run, for the screen and for paper."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.lab.exercises import CODE, Card, cards, full_run
from gainstage.lessons import QUESTIONS, open_question
from gainstage.records import Evidence
from gainstage.report.charts.svg import escaped
from gainstage.report.html.parts import Column, code, heading, paragraph, table
from gainstage.report.text.lesson import interval

__all__ = ["teacher_page"]

MOST_ROWS = 8
COLUMNS = (Column("figure", "prose"), Column("case"), Column("measured"), Column("asked"), Column("kept"))
HOW = (
    "One question takes five to ten minutes: read it out, let everyone guess before the experiment runs, run it with "
    "--quick on the projector, then read the verdict and the reason. The figures below are those of the full run, seed "
    "0, with 95 % confidence intervals over fresh draws of the weights."
)


def teacher_page() -> str:
    """Return the page; it links the lab's own style sheets and holds no script."""
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            "<title>Seven questions: the teacher's page · gainstage lab</title>",
            '<link rel="icon" href="data:,"><link rel="stylesheet" href="/static/lab.css"></head>',
            '<body class="teacher"><main>',
            heading(1, "Seven questions: the teacher's page"),
            paragraph(HOW, "soft"),
            *_questions(),
            "</main></body></html>",
        )
    )


def _questions() -> Iterator[str]:
    run = full_run()
    found = {e.claim.id: e for answer in (run.answers if run else ()) for e in answer.evidence}
    for entry in QUESTIONS:
        question = open_question(entry)
        yield heading(2, f"{question.number}. {question.question}")
        yield paragraph(question.setting, "soft")
        for card in cards(question):
            yield from _card(card, found.get(card.claim))
        if question.number == 7:
            yield '<div class="beside">'
            yield from (f"<div>{heading(3, name)}{code(text)}</div>" for name, text in CODE.items())
            yield "</div>"


def _card(card: Card, found: Evidence | None) -> Iterator[str]:
    yield '<section class="card">'
    yield heading(3, f"{card.claim} {card.ask}")
    if card.cases:
        yield paragraph("Cases: " + "; ".join(card.cases))
    yield paragraph(f"The claim: {card.statement} ({card.source})")
    if found is not None:
        verdict = f"<strong>{escaped(found.verdict.capitalize())}.</strong> {escaped(found.conditions)}"
        yield f"<p>{verdict}</p>"
        checked = {(c.bound.figure, c.bound.case): c for c in found.checks}
        rows = [
            (f.name, f.case, interval(f), checked[f.name, f.case].bound.words, checked[f.name, f.case].outcome)
            for f in found.figures
            if (f.name, f.case) in checked
        ]
        yield table(COLUMNS, rows[:MOST_ROWS])
    yield paragraph(f"What a wrong guess overlooks: {card.why}")
    yield "</section>"
