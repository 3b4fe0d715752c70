"""Renders records as fragments of HTML for notebooks: tables and a chart, no script, every name escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gainstage.records import (
    Answer,
    Answers,
    Comparison,
    Diagnosis,
    Evidence,
    Finding,
    Fixed,
    Formats,
    History,
    Plan,
    Preflight,
    Profile,
    Scaling,
)
from gainstage.report import formats_rows, preflight_rows, scaling_rows
from gainstage.report.charts.curves import MOST_LINES, curves
from gainstage.report.charts.depth_profile import depth_profile
from gainstage.report.charts.number_ranges import number_ranges
from gainstage.report.charts.over_steps import over_steps
from gainstage.report.charts.svg import escaped
from gainstage.report.series import Series
from gainstage.report.text.diagnosis import headline, verdict
from gainstage.report.text.history import history_verdict
from gainstage.report.text.lesson import OUTCOMES, interval
from gainstage.report.text.plan import plan_rows, scheme_text, spread_text
from gainstage.report.wording import count, elide, figure, shape_text

__all__ = [
    "answer_html",
    "answers_html",
    "comparison_html",
    "diagnosis_html",
    "evidence_html",
    "fixed_html",
    "formats_html",
    "history_html",
    "plan_html",
    "preflight_html",
    "profile_html",
    "scaling_html",
]

LONGEST_NAME = 80
MOST_TENSORS = 16


def diagnosis_html(diagnosis: Diagnosis) -> str:
    """Render the verdict, the findings, the chart, and the rules that were not judged."""
    word = headline(diagnosis)
    missing = ", ".join(f"{u.code} ({u.reason.rstrip('.')})" for u in diagnosis.unjudged)
    return _block(
        _heading(word, verdict(diagnosis)),
        _findings(diagnosis.findings),
        depth_profile(diagnosis.profile, findings=diagnosis.findings),
        f"<p>Not judged: {escaped(missing)}.</p>" if missing else "",
    )


def fixed_html(fixed: Fixed) -> str:
    """Render the second verdict, the changes, the chart before and after, and the remaining findings."""
    changes = [
        (
            c.finding.code,
            c.finding.title,
            "cured" if c.cured else ("not cured" if c.applied else "by hand"),
            c.explanation,
        )
        for c in fixed.changes
    ]
    return _block(
        _heading("Fixed" if fixed.ok else "Not healthy yet", f"now: {verdict(fixed.after)}"),
        _table(("code", "finding", "outcome", "what was done"), changes) if changes else "",
        depth_profile(fixed.before.profile, fixed.after.profile, findings=fixed.before.findings),
        _findings(fixed.after.findings),
    )


def formats_html(formats: Formats) -> str:
    """Render a sentence for every format, the picture, and the tensors that lose most."""
    columns = ("tensor", "what", "computed in", "median |x|", "largest", *formats.formats)
    drawable = any(t.largest > 0 for t in formats.tensors)
    return _block(
        _heading("Number formats", f"{count(len(formats.tensors), 'tensor')}, {formats.source.kind}."),
        *(f"<p>{escaped(form)}: {escaped(formats_rows.verdict(formats, form))}</p>" for form in formats.formats),
        number_ranges(formats) if drawable else "",
        _table(columns, formats_rows.rows(formats_rows.shown(formats, MOST_TENSORS))),
    )


def history_html(history: History) -> str:
    """Render the verdict, the findings with their steps, and gradient and update over the steps."""
    charts = (("loss", "Loss"), ("gradient", "Gradient norm"), ("update", "Update to weight"))
    rows = [(a.finding.code, a.finding.title, str(a.step), a.finding.evidence) for a in history.alerts]
    return _block(
        _heading("Healthy" if history.ok else count(len(rows), "finding"), history_verdict(history)),
        _table(("code", "finding", "step", "evidence"), rows) if rows else "",
        *(over_steps(history, name, title=title, log=_positive(history, name)) for name, title in charts),
    )


def _positive(history: History, name: str) -> bool:
    return all(value is None or value > 0 for value in (getattr(step, name) for step in history.steps))


def scaling_html(scaling: Scaling) -> str:
    """Render the verdict, one picture and one table for every axis."""
    parts = [_heading(scaling_rows.headline(scaling), scaling_rows.verdict(scaling))]
    for axis in scaling_rows.axes(scaling):
        if lines := scaling_rows.lines(scaling, axis):
            parts.append(curves(lines, title=f"With {axis}", x_label=axis, log_x=True, log_y=True))
        columns = (
            "module",
            "role",
            "signal",
            "gradient",
            "update",
            *(("movement",) if scaling.steps else ()),
            "verdict",
        )
        rows = [scaling_rows.cells(module, measured=bool(scaling.steps)) for module in scaling.along(axis)]
        parts.append(_table(columns, rows))
    return _block(*parts)


def preflight_html(preflight: Preflight) -> str:
    """Render every question with its answer, and the costs."""
    return _block(
        _heading(preflight_rows.headline(preflight), preflight_rows.subject(preflight)),
        _table(("question", "answer", "state"), [(d.question, d.answer, d.state) for d in preflight.decisions]),
        _table(("cost", "amount", "how it is known"), preflight_rows.cost_rows(preflight)),
        "" if preflight.scaling is None else scaling_html(preflight.scaling),
    )


def plan_html(plan: Plan) -> str:
    """Render one row per array, with identical blocks collapsed."""
    rows = [
        (
            f"{elide(row.label, LONGEST_NAME)}{f' ×{len(row.items)}' if len(row.items) > 1 else ''}",
            row.items[0].role.value,
            shape_text(row.items[0].shape),
            scheme_text(row.items[0]),
            spread_text(row.items),
            row.items[0].reason,
        )
        for row in plan_rows(plan)
    ]
    return _block(
        _heading("Plan", f"{plan.scheme or 'mixed'}, seed {plan.seed}, {count(len(plan), 'array')}."),
        _table(("parameter", "role", "shape", "scheme", "spread", "reason"), rows),
        *(f"<p>{escaped(note)}</p>" for note in plan.notes),
    )


def comparison_html(comparison: Comparison) -> str:
    """Render the best start, the curves with their bands, and one row per start."""
    lines = [
        Series(name, tuple(map(float, band.steps)), band.middle, band.low, band.high)
        for name, band in comparison.curves.items()
        if band.steps
    ][:MOST_LINES]
    best = comparison.best()
    word = f"{best[0].name} trains best" if len(best) == 1 else f"{count(len(best), 'start')} not told apart"
    rows = [
        (
            arm.name,
            interval(arm.score) if arm.score else "",
            figure(arm.validation_loss),
            f"{arm.trained.value:.0%}" if arm.trained else "",
            str(arm.failed),
        )
        for arm in comparison.ranking
    ]
    title = f"Validation {comparison.measure}: median of the seeds, and the middle half of them"
    return _block(
        _heading(word, f"{comparison.model} on {comparison.data}, {count(len(comparison.seeds), 'seed')}."),
        curves(lines, title=title, x_label="step") if lines else "",
        _table(("start", f"{comparison.measure} and interval", "validation loss", "trained", "failed"), rows),
        *(f"<p>{escaped(note)}</p>" for note in comparison.notes),
    )


def answers_html(answers: Answers) -> str:
    """Render answers one after the other."""
    return _block(*map(answer_html, answers.answers))


def answer_html(answer: Answer) -> str:
    """Render the text, then every claim with its verdict, figures and picture."""
    paragraphs = "".join(f"<p>{escaped(text)}</p>" for text in answer.text)
    return _block(f"<h3>{escaped(answer.question)}</h3>", paragraphs, *map(_claim, answer.evidence))


def evidence_html(evidence: Evidence) -> str:
    """Render one claim: its verdict, the measured figures with their bounds, and the picture."""
    return _block(_claim(evidence))


def _claim(evidence: Evidence) -> str:
    checks = {(check.bound.figure, check.bound.case): check for check in evidence.checks}
    rows = [
        (f.name, f.case, interval(f), check.bound.words if check else "", OUTCOMES[check.outcome][0] if check else "")
        for f in evidence.figures
        for check in [checks.get((f.name, f.case))]
    ]
    picture = evidence.picture
    chart = ""
    if picture is not None:
        lines = [Series(line.label, line.x, line.y) for line in picture.lines]
        chart = curves(
            lines, title=picture.title, x_label=picture.x_label, y_label=picture.y_label, log_y=picture.log_y
        )
    return "".join(
        (
            _heading(evidence.verdict.capitalize(), f"{evidence.claim.id} {evidence.claim.statement}"),
            f"<p>{escaped(evidence.conditions)}</p>" if evidence.conditions else "",
            _table(("figure", "case", "measured", "asked", "kept"), rows),
            chart,
        )
    )


def profile_html(profile: Profile) -> str:
    """Render the chart of a profile alone."""
    return _block(depth_profile(profile))


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    head = _row(("severity", "finding", "where", "evidence and cause", "remedy"), "th")
    return f"<table><thead>{head}</thead><tbody>{''.join(map(_finding, findings))}</tbody></table>"


def _finding(finding: Finding) -> str:
    code = "\n".join(escaped(line) for line in finding.remedy.code.splitlines())
    cells = (
        f"<b>{escaped(finding.severity.value)}</b>",
        escaped(f"{finding.code} {finding.title}"),
        escaped(elide(finding.place, LONGEST_NAME) or "the whole model"),
        f"{escaped(finding.evidence)}<br>{escaped(finding.cause)}",
        f"{escaped(finding.remedy.summary)}<pre>{code}</pre>",
    )
    return f"<tr>{''.join(f'<td {LEFT}>{cell}</td>' for cell in cells)}</tr>"


LEFT = 'style="text-align:left;vertical-align:top"'


def _heading(word: str, sentence: str) -> str:
    return f"<p><b>{escaped(word)}.</b> {escaped(sentence)}</p>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join(_row(row, "td") for row in rows)
    return f"<table><thead>{_row(head, 'th')}</thead><tbody>{body}</tbody></table>"


def _row(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag} {LEFT}>{escaped(cell)}</{tag}>' for cell in cells)}</tr>"


def _block(*parts: str) -> str:
    return f'<div class="gainstage">{"".join(parts)}</div>'
