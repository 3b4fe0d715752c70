"""What a page says about each kind of record: what is wrong first, then pictures, then every layer."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.records import Answer, Answers, Diagnosis, Evidence, Finding, Fixed, Picture, Plan, Profile
from gainstage.report.charts import curves, depth_profile
from gainstage.report.charts.svg import escaped
from gainstage.report.html.parts import (
    Cell,
    card,
    code,
    definitions,
    figure,
    folded_away,
    heading,
    paragraph,
    table,
)
from gainstage.report.series import Series
from gainstage.report.text.diagnosis import verdict
from gainstage.report.text.lesson import interval, summary_line
from gainstage.report.text.plan import plan_rows, spread_text
from gainstage.report.wording import count, shape_text
from gainstage.report.wording import figure as number

__all__ = ["answers_body", "diagnosis_body", "fixed_body", "plan_body", "title_of"]

Document = Diagnosis | Fixed | Plan | Answer | Answers


def title_of(record: Document) -> str:
    """The page's title, and its first line."""
    match record:
        case Diagnosis():
            return "Healthy" if record.ok else count(len(record.findings), "finding")
        case Fixed():
            return "Fixed" if record.ok else "Not healthy yet"
        case Plan():
            return f"Plan: {record.scheme or 'mixed'}"
        case Answer():
            return record.question
        case Answers():
            return "Seven questions about weight initialization"


def diagnosis_body(diagnosis: Diagnosis) -> Iterator[str]:
    """Findings, the signal through depth, every layer, what was not judged, how it was measured."""
    yield paragraph(verdict(diagnosis), "soft")
    yield from map(_finding, diagnosis.findings)
    yield heading(2, "The signal through depth")
    yield figure(depth_profile(diagnosis.profile, width=1040))
    yield from _layers(diagnosis.profile)
    yield from _judged(diagnosis)
    yield _measurement(diagnosis.profile)


def fixed_body(fixed: Fixed) -> Iterator[str]:
    """What was changed, before and after in one picture, what is left."""
    yield paragraph(f"{count(len(fixed.before.findings), 'finding')} before; now: {verdict(fixed.after)}", "soft")
    for change in fixed.changes:
        outcome = "cured" if change.cured else ("not cured" if change.applied else "by hand")
        kind = "good" if change.cured else "warning"
        yield card(
            kind, outcome, f"{change.finding.code} {change.finding.title}",
            definitions((("was", escaped(change.finding.evidence)), ("now", escaped(change.explanation)))),
        )  # fmt: skip
    yield heading(2, "Before and after")
    yield figure(depth_profile(fixed.before.profile, fixed.after.profile, width=1040))
    if fixed.after.findings:
        yield heading(2, "What is left")
        yield from map(_finding, fixed.after.findings)
    yield from _layers(fixed.after.profile)
    yield from _judged(fixed.after)
    yield _measurement(fixed.after.profile)


def plan_body(plan: Plan) -> Iterator[str]:
    """One row for every array, or every run of identical blocks."""
    yield paragraph(f"Seed {plan.seed}, {count(len(plan), 'array')}.", "soft")
    yield from (paragraph(note) for note in plan.notes)
    rows = [
        (
            f"{row.label}{f' ×{len(row.items)}' if len(row.items) > 1 else ''}",
            row.items[0].role.value,
            shape_text(row.items[0].shape),
            row.items[0].scheme,
            Cell(spread_text(row.items), row.items[0].spread),
            row.items[0].reason,
        )
        for row in plan_rows(plan)
    ]
    yield table(("parameter", "role", "shape", "scheme", "spread", "reason"), rows, sortable=True)


def answers_body(answers: Answers) -> Iterator[str]:
    """Question after question."""
    for answer in answers.answers:
        if len(answers.answers) > 1:
            yield heading(2, f"{answer.number}. {answer.question}")
        yield from (paragraph(text) for text in answer.text)
        yield from map(_evidence, answer.evidence)
        yield heading(3, "Try it yourself")
        yield code("\n".join(answer.try_it))
        yield folded_away("References", *(paragraph(reference) for reference in answer.references))
        yield paragraph(summary_line(answer), "soft")


_VERDICTS = {"holds": "good", "holds under conditions": "warning", "does not hold": "error"}


def _evidence(evidence: Evidence) -> str:
    claim = evidence.claim
    checks = {(check.bound.figure, check.bound.case): check for check in evidence.checks}
    rows = []
    for measured in evidence.figures:
        check = checks.get((measured.name, measured.case))
        asked, kept = (check.bound.words, check.outcome) if check else ("", "")
        rows.append((measured.name, measured.case, Cell(interval(measured), measured.value), asked, kept))
    parts = [paragraph(evidence.conditions)] if evidence.conditions else []
    parts.append(table(("figure", "case", "measured", "asked", "kept"), rows))
    if evidence.picture is not None:
        parts.append(_picture(evidence.picture))
    parts.append(paragraph(f"Claimed by: {claim.source}", "soft") if claim.source else "")
    return card(_VERDICTS[evidence.verdict], evidence.verdict, f"{claim.id} {claim.statement}", *parts)


def _picture(picture: Picture) -> str:
    lines = [Series(line.label, line.x, line.y) for line in picture.lines]
    x, y = picture.x_label, picture.y_label
    return figure(curves(lines, title=picture.title, x_label=x, y_label=y, log_y=picture.log_y, width=1000))


def _finding(finding: Finding) -> str:
    fields = [
        ("where", escaped(finding.path or "the whole model")),
        ("evidence", escaped(finding.evidence)),
        ("cause", escaped(finding.cause)),
        ("remedy", escaped(finding.remedy.summary) + code(finding.remedy.code)),
    ]
    followed = "".join(map(_finding, finding.consequences))
    more = folded_away(f"Brings {count(len(finding.consequences), 'more finding')}", followed) if followed else ""
    badge = f"{finding.severity.value} {finding.code}"
    return card(finding.severity.value, badge, finding.title, definitions(fields), more)


def _layers(profile: Profile) -> Iterator[str]:
    rows = []
    for measured in profile.nodes:
        node = profile.node(measured)
        share, back = measured.forward.example_share, measured.backward
        rows.append(
            (
                Cell(str(node.index), node.index),
                node.path or "the model itself",
                node.function or node.operation.value,
                shape_text(node.shape),
                _number(measured.forward.mean),
                _number(measured.forward.spread),
                _number(share),
                _number(back.norm if back else None),
            )
        )
    head = ("node", "module", "operation", "shape", "mean", "spread", "share across examples", "gradient norm")
    yield heading(2, "Every layer")
    yield table(head, rows, sortable=True)


def _number(value: float | None) -> Cell:
    return Cell("") if value is None else Cell(number(value), value)


def _judged(diagnosis: Diagnosis) -> Iterator[str]:
    if diagnosis.passed:
        yield folded_away(f"{count(len(diagnosis.passed), 'rule')} passed", paragraph(", ".join(diagnosis.passed)))
    if diagnosis.unjudged:
        rows = [(u.code, u.reason) for u in diagnosis.unjudged]
        yield folded_away(f"{count(len(rows), 'rule')} not judged", table(("rule", "what it lacked"), rows))


def _measurement(profile: Profile) -> str:
    source = profile.source
    told = (
        f"{source.kind.capitalize()} with {source.framework} on {source.device} in {source.dtype}, "
        f"batch {shape_text(source.batch)}, {source.detail} detail."
    )
    return heading(2, "How it was measured") + paragraph(told)
