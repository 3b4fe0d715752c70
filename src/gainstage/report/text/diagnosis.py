"""Renders a Diagnosis and a Fixed as one screen of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gainstage.records import Change, Diagnosis, Finding, Fixed, Overfit, Profile, Proof, Severity, Unjudged
from gainstage.report.text.depth import add_depth, add_depth_before_and_after
from gainstage.report.text.page import Page, Part
from gainstage.report.wording import count, elide, figure, folded, shape_text

__all__ = ["add_diagnosis", "add_fixed", "add_measurement", "headline", "overfit_in_words", "verdict"]

STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}
OUTLOOK = {Severity.ERROR: "as it is, this model will not train", Severity.WARNING: "it will train badly or slowly"}
SUBJECTS = {
    "1": "signal", "2": "gradient", "3": "weights", "4": "structure", "5": "loss", "6": "inputs",
    "7": "first step", "8": "numbers", "9": "doubts",
}  # fmt: skip
"""What the families of rules are about, by the first digit of their codes."""
IN_FULL = 6  # findings shown with cause and remedy; more would not be read


def verdict(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as one sentence, without its first word or number."""
    if not diagnosis.findings:
        return f"{count(len(diagnosis.passed), 'rule')} passed, {len(diagnosis.unjudged)} could not be judged."
    tally = ", ".join(
        count(n, severity.value)
        for severity in Severity
        if (n := sum(f.severity is severity for f in diagnosis.findings))
    )
    worst = diagnosis.worst
    return f"{tally}: {OUTLOOK[worst]}." if worst in OUTLOOK else f"{tally}, no error and no warning."


def headline(diagnosis: Diagnosis) -> str:
    """Return the verdict in two words: healthy, not judged, or the number of findings."""
    if diagnosis.ok:
        return "Healthy"
    return count(len(diagnosis.findings), "finding") if diagnosis.judged else "Not judged"


def add_diagnosis(page: Page, diagnosis: Diagnosis) -> None:
    """Add the verdict, the findings, the chart through depth, the rules not judged, and the measurement."""
    if diagnosis.ok:
        page.line(("HEALTHY", "bold green"), f"  {verdict(diagnosis)}")
    elif not diagnosis.judged:
        page.line(("NOT JUDGED", "bold yellow"), f"  {_why_not_judged(page, diagnosis.profile)}")
    else:
        style = STYLES[diagnosis.worst or Severity.NOTE]
        page.line((count(len(diagnosis.findings), "finding").upper(), style), f"  {verdict(diagnosis)}")
    page.blank()
    _add_findings(page, diagnosis)
    add_depth(page, diagnosis.profile)
    page.blank()
    if diagnosis.trained:
        page.field("Trained", page.words(f"{diagnosis.trained}; rules about starts keep silent."), indent=0)
    _add_overfit(page, diagnosis.profile.overfit)
    _add_passed(page, diagnosis.passed)
    _add_unjudged(page, diagnosis.unjudged)
    _add_accepted(page, diagnosis)
    add_measurement(page, diagnosis.profile, diagnosis.findings)


def _why_not_judged(page: Page, profile: Profile) -> str:
    if not profile.hidden:
        return "No gradient was seen, so nobody can say whether this model trains."
    first = page.name(profile.hidden[0], 30)
    weights = f"{count(len(profile.hidden), 'weight')} ('{first}' first)" if len(profile.hidden) > 1 else f"'{first}'"
    return f"The signal at {weights} was not seen: see GS902."


def add_fixed(page: Page, fixed: Fixed) -> None:
    """Add the changes and their effect, the chart before and after, and the remaining findings."""
    before = count(len(fixed.before.findings), "finding")
    if fixed.ok:
        page.line(("FIXED", "bold green"), f"  {before} before; now: {verdict(fixed.after)}")
    else:
        page.line(("NOT HEALTHY YET", "bold yellow"), f"  {before} before; now: {verdict(fixed.after)}")
    page.blank()
    for change in fixed.changes:
        _add_change(page, change)
    if fixed.proof is not None:
        page.field("proof", page.words(_proof_in_words(fixed.proof)), indent=0)
    if fixed.changes:
        page.blank()
    add_depth_before_and_after(page, fixed.before.profile, fixed.after.profile)
    page.blank()
    if fixed.after.findings:
        page.line(("What is left", "bold"))
        page.blank()
        _add_findings(page, fixed.after)
    _add_unjudged(page, fixed.after.unjudged)
    add_measurement(page, fixed.after.profile, fixed.after.findings)


def _proof_in_words(proof: Proof) -> str:
    """Return the result of both trainings as a sentence."""
    before, after = proof.losses
    verdicts = {
        "better": "it trains better",
        "alike": "neither start trains better",
        "worse": "it trained worse, and was put back",
    }
    return (
        f"Trained for {proof.after.steps} steps ({proof.after.optimizer}, {figure(proof.after.learning_rate)}), the "
        f"loss ends at {figure(before)} from the weights before and at {figure(after)} from the new ones: "
        f"{verdicts[proof.verdict]}."
    )


def _add_findings(page: Page, diagnosis: Diagnosis) -> None:
    for finding in diagnosis.findings[:IN_FULL]:
        _add_finding(page, finding, diagnosis.profile)
        page.blank()
    rest = diagnosis.findings[IN_FULL:]
    for finding in rest:
        _add_title(page, finding, finding.place)
    if rest:
        page.blank()


def _add_finding(page: Page, finding: Finding, profile: Profile) -> None:
    _add_title(page, finding)
    page.field("where", *_place(page, finding, profile))
    page.field("evidence", page.words(finding.evidence))
    page.field("cause", page.words(finding.cause))
    page.field("remedy", page.words(finding.remedy.summary))
    page.code(finding.remedy.code)
    following = list(_following(finding))
    if following:
        groups = folded((f"{f.code} {f.title}", f.path) for f in following)
        told = "; ".join(f"{title} ×{len(paths)}" if len(paths) > 1 else title for title, paths in groups)
        page.field("brings", _shortened(page.words(told), page.field_width))


def _add_title(page: Page, finding: Finding, path: str = "") -> None:
    parts: list[Part] = [(finding.severity.value.upper(), STYLES[finding.severity]), f" {finding.code}  "]
    parts.append((page.words(finding.title), "bold"))
    if path:
        parts.append((f"  {page.name(path, page.width // 2)}", "dim"))
    page.line(*parts)


def _place(page: Page, finding: Finding, profile: Profile) -> tuple[Part, ...]:
    name = page.name(finding.place, page.field_width - 20) if finding.path else "the whole model"
    if finding.node is None:
        return (name,)
    node = profile.graph.nodes[finding.node]
    what = node.function or node.operation.value
    return name, (f"  {page.name(what, 18)}", "dim")


def _following(finding: Finding) -> Iterator[Finding]:
    for consequence in finding.consequences:
        yield consequence
        yield from _following(consequence)


def _shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def _add_change(page: Page, change: Change) -> None:
    finding = change.finding
    if change.cured:
        page.field("cured", f"{finding.code} ", (page.words(finding.title), "bold"), style="bold green", indent=0)
    else:
        label = "not cured" if change.applied else "by hand"
        page.field(label, f"{finding.code} ", (page.words(finding.title), "bold"), style="bold yellow", indent=0)
    if finding.path:
        page.field("", (page.name(finding.place, page.field_width), "dim"), indent=0)
    if change.explanation:
        page.field("", page.words(change.explanation), indent=0)


def _add_overfit(page: Page, found: Overfit | None) -> None:
    """Add one line about the short training on the batch."""
    if found is not None:
        page.field("One batch", page.words(overfit_in_words(found)), indent=0)


def overfit_in_words(found: Overfit) -> str:
    """Return how the short training on the batch ended.

    >>> from gainstage.records import Attempt
    >>> overfit_in_words(Overfit((Attempt("Adam", 1e-3, (2.3, 2.0, 1.0, 0.02, 0.02, 0.02, 0.02)),), 0.0))
    'learned by heart: the loss falls from 2.3 to 0.02 in 6 steps of Adam at 0.001.'
    """
    best = found.best
    told = {
        "learned": "learned by heart: the loss falls",
        "partly": "partly learned: the loss falls",
        "stuck": "not learned: the loss moves",
        "short": "not judged, since time ran out: the loss moves",
    }
    return (
        f"{told[found.outcome]} from {figure(found.start)} to {figure(best.end)} in {count(best.steps, 'step')} of "
        f"{best.optimizer} at {figure(best.learning_rate)}."
    )


def _add_passed(page: Page, passed: tuple[str, ...]) -> None:
    """Add one line with the number of rules that passed, by topic."""
    if passed:
        told = ", ".join(f"{subject} {n}" for digit, subject in SUBJECTS.items() if (n := _about(passed, digit)))
        page.field("Passed", page.words(f"{count(len(passed), 'rule')}: {told}."), indent=0)


def _about(codes: tuple[str, ...], digit: str) -> int:
    return sum(code.startswith(f"GS{digit}") for code in codes)


def _add_accepted(page: Page, diagnosis: Diagnosis) -> None:
    """Add one line for the accepted findings, and one for the rules that were left out."""
    if diagnosis.accepted:
        groups = folded((a.reason, f"{a.finding.code} {a.finding.path}".strip()) for a in diagnosis.accepted)
        told = "; ".join(f"{', '.join(places[:3])}{_more(len(places) - 3)}: {why}" for why, places in groups)
        page.field("Accepted", _shortened(page.words(told), 2 * page.field_width), indent=0)
    if diagnosis.left_out:
        page.field("Left out", f"{count(len(diagnosis.left_out), 'rule')}, as asked for.", indent=0)


def _more(number: int) -> str:
    return f" and {number} more" if number > 0 else ""


def _add_unjudged(page: Page, unjudged: tuple[Unjudged, ...]) -> None:
    """Add, in at most two lines, the rules that were not judged and the information that they lacked."""
    if not unjudged:
        return
    room = 2 * page.field_width - 24
    told: list[str] = []
    left = len(unjudged)
    for reason, codes in folded((u.reason.rstrip("."), u.code) for u in unjudged):
        listed = ", ".join(codes) if len(codes) <= 4 else f"{', '.join(codes[:3])} and {len(codes) - 3} more"
        entry = page.words(f"{listed}: {reason}")
        if told and sum(map(len, told)) + len(entry) > room:
            break
        told.append(_shortened(entry, room))
        left -= len(codes)
    page.field("Not judged", "; ".join(told) + (f"; and {count(left, 'other rule')}." if left else "."), indent=0)


def add_measurement(page: Page, profile: Profile, told: Iterable[Finding] = ()) -> None:
    """Add one sentence about the measurement, and its doubts, except those that a finding has mentioned."""
    source, task = profile.source, profile.task
    batch = shape_text(source.batch) if source.batch else "unknown"
    made = [source.framework, ("no device" if source.device == "none" else source.device), source.dtype]
    parts = [", ".join(made), f"batch {batch}"]
    if source.kind == "measured" and not task.training:
        parts.append("in evaluation mode (call model.train() to judge it as it trains)")
    if any(i.synthetic for i in task.inputs):
        parts.append("made-up inputs")
    parts.append("forward and backward" if profile.backward else "forward only")
    if task.loss is not None and task.loss.kind == "surrogate":
        parts.append("no loss given: random signs as gradient")
    elif task.loss is not None:
        chance = f" (chance {figure(task.loss.chance)})" if task.loss.chance is not None else ""
        parts.append(f"loss {task.loss.kind} {figure(task.loss.value)}{chance}")
    parts.append(count(len(profile.graph.parameters), "parameter array"))
    label = "Measured" if source.kind == "measured" else "Predicted"
    page.field(label, page.words("; ".join(parts) + "."), indent=0)
    codes = {finding.code for finding in told}
    for note in profile.notes:
        if note.code in codes:
            continue
        where = f" ({elide(note.path, 40)})" if note.path else ""
        page.field(note.code, page.words(f"{note.message}{where}"), style="bold cyan", indent=0)
