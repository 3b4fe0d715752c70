"""Writes the body of a page for each kind of record: findings first, then charts, then every layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gainstage.records import Change, Diagnosis, Finding, Fixed, Plan, Profile, TrainingCurve
from gainstage.report.charts.svg import escaped
from gainstage.report.html import pictures, tables
from gainstage.report.html.parts import Column, card, code, definitions, folded_away, heading, paragraph, table
from gainstage.report.text.diagnosis import overfit_in_words, verdict
from gainstage.report.text.plan import carried_out
from gainstage.report.wording import count, figure, shape_text

__all__ = ["diagnosis_body", "fixed_body", "plan_body", "profile_body"]

JUDGED = (Column("rule"), Column("what it lacked", "prose"))


@dataclass(frozen=True, slots=True)
class Beside:
    """Records that a page shows beside its main record.

    Args:
        trainings: trainings of the same model, from several starts.
        predicted: the prediction for the same model.
    """

    trainings: tuple[TrainingCurve, ...] = ()
    predicted: Profile | None = None


def diagnosis_body(diagnosis: Diagnosis, beside: Beside) -> Iterator[str]:
    """Yield findings, signal through depth, distributions, every layer, rules not judged, and the measurement."""
    profile = diagnosis.profile
    yield paragraph(verdict(diagnosis), "soft")
    yield from map(_finding, diagnosis.findings)
    yield from pictures.trainings(beside.trainings)
    yield heading(2, "The signal through depth")
    yield pictures.through_depth(profile, predicted=beside.predicted, findings=diagnosis.findings)
    yield from pictures.against_theory(profile, beside.predicted)
    yield from pictures.values(profile)
    yield from pictures.updates(profile)
    yield from pictures.order_and_chaos(("you are here", profile))
    yield from tables.every_layer(profile)
    yield from tables.every_weight(profile)
    if diagnosis.trained:
        yield paragraph(f"A trained network: {diagnosis.trained}. Rules about starts keep silent.")
    if profile.overfit is not None:
        yield paragraph(f"One batch {overfit_in_words(profile.overfit)}")
    yield from _judged(diagnosis)
    yield from _measurement(profile)


def fixed_body(fixed: Fixed, beside: Beside) -> Iterator[str]:
    """Yield the changes, before and after in one chart, and the remaining findings."""
    before, after = fixed.before.profile, fixed.after.profile
    yield paragraph(f"{count(len(fixed.before.findings), 'finding')} before; now: {verdict(fixed.after)}", "soft")
    yield from map(_change, fixed.changes)
    yield from pictures.trainings(beside.trainings)
    yield heading(2, "Before and after")
    yield pictures.through_depth(before, after, findings=fixed.before.findings)
    if fixed.after.findings:
        yield heading(2, "What is left")
        yield from map(_finding, fixed.after.findings)
    yield from pictures.values(before, ", before")
    yield from pictures.values(after, ", after")
    yield from pictures.updates(before, after)
    yield from pictures.order_and_chaos(("before", before), ("after", after))
    yield from tables.every_layer(after)
    yield from tables.every_weight(after)
    yield from _judged(fixed.after)
    yield from _measurement(after)


def profile_body(profile: Profile, beside: Beside) -> Iterator[str]:
    """Yield the charts and every layer, without a verdict."""
    yield paragraph(f"{count(len(profile.nodes), 'operation')}, not judged.", "soft")
    yield heading(2, "The signal through depth")
    yield pictures.through_depth(profile, predicted=beside.predicted)
    yield from pictures.against_theory(profile, beside.predicted)
    yield from pictures.values(profile)
    yield from pictures.updates(profile)
    yield from tables.every_layer(profile)
    yield from tables.every_weight(profile)
    yield from _measurement(profile)


def plan_body(plan: Plan) -> Iterator[str]:
    """Yield one row for every array, or every run of identical blocks."""
    told = f"Seed {plan.seed}, {count(len(plan), 'array')}. {carried_out(plan)}"
    yield paragraph(told, "soft")
    yield from (paragraph(note) for note in plan.notes)
    yield tables.every_assignment(plan)


def _change(change: Change) -> str:
    outcome = "cured" if change.cured else ("not cured" if change.applied else "by hand")
    finding = change.finding
    fields = [("was", escaped(finding.evidence)), ("now", escaped(change.explanation))]
    if not change.cured:
        fields.append(("remedy", escaped(finding.remedy.summary) + code(finding.remedy.code)))
    kind = "good" if change.cured else "warning"
    return card(kind, outcome, f"{finding.code} {finding.title}", definitions(fields))


def _finding(finding: Finding) -> str:
    fields = [
        ("where", escaped(finding.place or "the whole model")),
        ("evidence", escaped(finding.evidence)),
        ("cause", escaped(finding.cause)),
        ("remedy", escaped(finding.remedy.summary) + code(finding.remedy.code)),
    ]
    followed = "".join(map(_finding, finding.consequences))
    more = folded_away(f"Brings {count(len(finding.consequences), 'more finding')}", followed) if followed else ""
    badge = f"{finding.severity.value} {finding.code}"
    return card(finding.severity.value, badge, finding.title, definitions(fields), more)


def _judged(diagnosis: Diagnosis) -> Iterator[str]:
    if diagnosis.accepted:
        accepted = table(
            (Column("finding", "prose"), Column("where", "prose"), Column("accepted because", "prose")),
            [(f"{a.finding.code} {a.finding.title}", a.finding.path, a.reason) for a in diagnosis.accepted],
        )
        yield folded_away(f"{count(len(diagnosis.accepted), 'finding')} accepted", accepted)
    if diagnosis.left_out:
        yield folded_away(
            f"{count(len(diagnosis.left_out), 'rule')} left out", paragraph(", ".join(diagnosis.left_out))
        )
    if diagnosis.passed:
        yield folded_away(f"{count(len(diagnosis.passed), 'rule')} passed", paragraph(", ".join(diagnosis.passed)))
    if diagnosis.unjudged:
        columns, rows = (
            (Column("rule"), Column("what it lacked", "prose")),
            [(u.code, u.reason) for u in diagnosis.unjudged],
        )
        yield folded_away(f"{count(len(rows), 'rule')} not judged", table(columns, rows))


def _measurement(profile: Profile) -> Iterator[str]:
    source, task = profile.source, profile.task
    made_up = " The inputs were made up." if any(i.synthetic for i in task.inputs) else ""
    place = "no device" if source.device == "none" else source.device
    yield heading(2, "How it was measured" if source.kind == "measured" else "How it was predicted")
    yield paragraph(
        f"{source.kind.capitalize()} with {source.framework} on {place} in {source.dtype}, "
        f"batch {shape_text(source.batch)}, {source.detail} detail, seed {source.seed}.{made_up}"
    )
    if task.loss is not None and task.loss.kind == "surrogate":
        yield paragraph("No loss was given: random signs stand in for its gradient at the output.")
    elif task.loss is not None:
        chance = f"; a constant guess reaches {figure(task.loss.chance)}" if task.loss.chance is not None else ""
        yield paragraph(f"The loss, {task.loss.kind}, is {figure(task.loss.value)} on this batch{chance}.")
    yield from (
        paragraph(f"{note.code} {note.message}{f' ({note.path})' if note.path else ''}") for note in profile.notes
    )
