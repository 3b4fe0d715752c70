"""Renders a Plan as a table: one row per array, identical blocks collapsed, every reason printed once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from gainstage.records import Assignment, Plan
from gainstage.report.text.page import Column, Page, Part
from gainstage.report.text.repeats import Run, runs
from gainstage.report.wording import count, figure, shape_text

__all__ = ["add_plan", "carried_out", "plan_rows", "scheme_text", "spread_text"]

SHORT = 12  # a plan of at most this many arrays is shown array by array


def plan_rows(plan: Plan) -> list[Run[Assignment]]:
    """Return the rows of the table."""
    if len(plan) <= SHORT:
        return [Run(a.parameter, (a,)) for a in plan]
    return runs(plan.assignments, lambda a: a.parameter, _alike)


def _alike(assignment: Assignment) -> Hashable:
    """Return what rows of a run have in common, including whether the layer reads the input or an activation."""
    reads_input = "; reads the input" in assignment.reason
    return assignment.role, assignment.shape, assignment.scheme, assignment.mirror, assignment.bias, reads_input


def add_plan(page: Page, plan: Plan) -> None:
    """Add the heading, the table, the reasons and the notes."""
    weights = sum(_size(a.shape) for a in plan)
    scheme = page.name(plan.scheme, 24) if plan.scheme else "mixed"
    page.line(
        ("PLAN", "bold"), f"  {scheme}, seed {plan.seed}: {count(len(plan), 'array')}, {count(weights, 'value')}. ",
        carried_out(plan),
    )  # fmt: skip
    page.blank()
    rows = plan_rows(plan)
    reasons = _numbered(rows)
    columns = (
        Column("parameter", flexible=True), Column("role"), Column("shape", "right"), Column("scheme", flexible=True),
        Column("spread", "right"), Column("why", "right"),
    )  # fmt: skip
    page.table(columns, (_cells(row, reasons) for row in rows))
    page.blank()
    for reason, number in reasons.items():
        page.field(f"[{number}]", page.words(reason), indent=0)
    for note in plan.notes:
        page.field("note", page.words(note), style="bold cyan", indent=0)


def carried_out(plan: Plan) -> str:
    """Return a sentence that states whether the weights follow the plan already.

    >>> carried_out(Plan((), written=True))
    'The weights were written.'
    """
    return "The weights were written." if plan.written else "Only applying a plan writes weights."


def _numbered(rows: Sequence[Run[Assignment]]) -> dict[str, int]:
    reasons = dict.fromkeys(row.items[0].reason for row in rows if row.items[0].reason)
    return {reason: number for number, reason in enumerate(reasons, start=1)}


def _cells(row: Run[Assignment], reasons: dict[str, int]) -> tuple[Part, ...]:
    first = row.items[0]
    label = f"{row.label}  ×{len(row.items)}" if len(row.items) > 1 else row.label
    return (
        label,
        (first.role.value, "cyan"),
        shape_text(first.shape),
        scheme_text(first),
        spread_text(row.items),
        (f"[{reasons[first.reason]}]" if first.reason else "", "dim"),
    )


def scheme_text(assignment: Assignment) -> str:
    """Return what the array gets, in one or two words."""
    ruled = assignment.bias is not None and assignment.scheme == "keep" and assignment.bias != "keep"
    mirrored = "mirrored " if assignment.mirror is not None else ""
    return f"{assignment.bias} bias" if ruled else f"{mirrored}{assignment.scheme}"


def spread_text(items: Sequence[Assignment]) -> str:
    """Format the intended standard deviation, as a range where it differs within a row in the first three digits."""
    spreads = [a.spread for a in items if a.spread is not None]
    if not spreads:
        return "–"
    low, high = figure(min(spreads)), figure(max(spreads))
    return low if low == high else f"{low}–{high}"


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
