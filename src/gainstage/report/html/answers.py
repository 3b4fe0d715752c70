"""Writes the page of answers: each question with its claims, each claim with its figures and bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gainstage.records import Answer, Answers, Check, Evidence, Figure, Verdict
from gainstage.report.charts import Estimate, intervals
from gainstage.report.charts.svg import escaped
from gainstage.report.html.parts import Column, card, code, drawn, folded_away, heading, paragraph, table
from gainstage.report.html.pictures import line_chart, slider_chart
from gainstage.report.text.lesson import QUICK, interval, summary_line

__all__ = ["answers_body"]

KINDS = {"holds": "good", "holds under conditions": "warning", "does not hold": "error"}
TALLY: dict[Verdict, tuple[str, str]] = {
    "holds": ("holds", "hold"),
    "holds under conditions": ("holds under conditions", "hold under conditions"),
    "does not hold": ("does not hold", "do not hold"),
}
"""The frequency of a verdict in words: for one claim, and for several."""
COLUMNS = (
    Column("case"), Column("measured", "number"), Column("asked"), Column("kept"),
)  # fmt: skip
MOST_DRAWN = 24
DECADES = 30.0  # figures whose ratio of largest to smallest exceeds this are drawn on a logarithmic axis


def answers_body(answers: Answers) -> Iterator[str]:
    """Yield a list of the questions where there are several, then each question."""
    several = len(answers.answers) > 1
    if several:
        yield f"<nav><ol>{''.join(map(_entry, answers.answers))}</ol></nav>"
    for answer in answers.answers:
        if several:
            yield heading(2, f"{answer.number}. {answer.question}", f"q{answer.number}")
        yield from (paragraph(text) for text in answer.text)
        if answer.quick:
            yield paragraph(QUICK, "soft")
        yield from map(_evidence, answer.evidence)
        yield heading(3, "Try it yourself")
        yield code("\n".join(answer.try_it))
        if answer.slider is not None:
            yield f'<div class="sliding">{"".join(slider_chart(answer.slider))}</div>'
        yield folded_away("References", *(paragraph(reference) for reference in answer.references))
        yield paragraph(summary_line(answer), "soft")


def _entry(answer: Answer) -> str:
    tally = Counter(evidence.verdict for evidence in answer.evidence)
    told = ", ".join(
        f"{tally[verdict]} {words[tally[verdict] > 1]}" for verdict, words in TALLY.items() if tally[verdict]
    )
    return (
        f'<li value="{answer.number}"><a href="#q{answer.number}">{escaped(answer.question)}</a> '
        f'<span class="soft">{escaped(told)}</span></li>'
    )


def _evidence(evidence: Evidence) -> str:
    claim = evidence.claim
    checks = {(check.bound.figure, check.bound.case): check for check in evidence.checks}
    by_name: dict[str, list[Figure]] = {}
    for measured in evidence.figures:
        by_name.setdefault(measured.name, []).append(measured)
    parts = [paragraph(evidence.conditions)] if evidence.conditions else []
    for name, figures in by_name.items():
        parts.extend(_figures(name, figures, checks))
    if evidence.picture is not None:
        parts.extend(line_chart(evidence.picture))
    parts.append(paragraph(f"Claimed by: {claim.source}", "soft") if claim.source else "")
    return card(KINDS[evidence.verdict], evidence.verdict, f"{claim.id} {claim.statement}", *parts)


def _figures(name: str, figures: list[Figure], checks: dict[tuple[str, str], Check]) -> Iterator[str]:
    """Yield one figure in all its cases: a chart of intervals where there are several, and a table."""
    kept = {figure: checks.get((name, figure.case)) for figure in figures}
    bounds = [check.bound for check in kept.values() if check]
    if 2 <= len(figures) <= MOST_DRAWN and any(f.n for f in figures) and bounds:
        limits = {(f"asked: {word}", level) for b in bounds for word, level in (("above", b.above), ("below", b.below))}
        yield _interval_chart(name, figures, sorted((word, v) for word, v in limits if v is not None))
    else:
        yield paragraph(name, "name")
    rows = [
        (f.case or "value", interval(f), check.bound.words if check else "", check.outcome if check else "")
        for f, check in kept.items()
    ]
    yield table(COLUMNS, rows)


def _interval_chart(name: str, figures: list[Figure], limits: list[tuple[str, float]]) -> str:
    estimates = [Estimate(f.case or f.name, f.value, f.low, f.high) for f in figures]
    ends = [v for f in figures for v in (f.low, f.high)] + [level for _, level in limits]
    log = min(ends) > 0 and max(ends) / min(ends) > DECADES
    unit = next((f.unit for f in figures if f.unit), "")
    return drawn(lambda width: intervals(estimates, title=name, x_label=unit, log=log, guides=limits, width=width))
