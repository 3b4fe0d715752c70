"""Renders answers as Markdown, for generated pages under version control."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.records import Answer, Answers, Evidence
from gainstage.report.text.lesson import OUTCOMES, QUICK, interval, slider_line, summary_line
from gainstage.report.wording import clean

__all__ = ["answers_markdown"]


def answers_markdown(answers: Answers, title: str) -> str:
    r"""Render answers as one page: text, then a table of figures for every claim; the same seed gives the same page.

    Args:
        answers: the answers, in the order of the page.
        title: title of the page.

    >>> answers_markdown(Answers(()), "Questions")
    '# Questions\n'
    """
    blocks = [f"# {title}", *(block for answer in answers.answers for block in _answer(answer))]
    return "\n\n".join(blocks) + "\n"


def _answer(answer: Answer) -> Iterator[str]:
    yield f"## {answer.number}. {answer.question}"
    yield from (_plain(paragraph) for paragraph in answer.text)
    yield f"*{_plain(summary_line(answer, timed=False))}*"
    if answer.quick:
        yield _plain(QUICK)
    for evidence in answer.evidence:
        yield from _evidence(evidence)
    lines = "\n".join(answer.try_it)
    yield f"Try it yourself:\n\n```\n{lines}\n```"
    if answer.slider is not None:
        yield _plain(slider_line(answer.slider))
    yield "References: " + "; ".join(map(_plain, answer.references)) + "."


def _evidence(evidence: Evidence) -> Iterator[str]:
    claim = evidence.claim
    yield f"### {claim.id} {_plain(claim.statement)}"
    yield f"**{evidence.verdict.capitalize()}.** {_plain(evidence.conditions)}".rstrip()
    checks = {(check.bound.figure, check.bound.case): check for check in evidence.checks}
    rows = ["| figure | case | measured | asked | kept |", "| --- | --- | --- | --- | --- |"]
    for figure in evidence.figures:
        check = checks.get((figure.name, figure.case))
        asked, kept = (check.bound.words, OUTCOMES[check.outcome][0]) if check else ("", "")
        rows.append(f"| {_plain(figure.name)} | {_plain(figure.case)} | {interval(figure)} | {asked} | {kept} |")
    yield "\n".join(rows)
    if claim.source:
        yield f"Claimed by: {_plain(claim.source)}."


def _plain(text: str) -> str:
    """Return the text with Markdown's special characters escaped."""
    return clean(text).replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
