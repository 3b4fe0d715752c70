"""Sentences and rows about a model before it is trained, for text and pages alike."""

from __future__ import annotations

from gainstage.records import Preflight
from gainstage.report.wording import count, figure

__all__ = ["amount", "cost_rows", "headline", "subject"]


def headline(found: Preflight) -> str:
    """Return the verdict in a few words."""
    bad = sum(decision.state in ("warning", "error") for decision in found.decisions)
    return "Ready" if found.ok else f"{count(bad, 'thing')} to change first"


def subject(found: Preflight) -> str:
    """Return what was looked at."""
    return (
        f"{found.model}: {figure(float(found.parameters))} parameters, {found.dtype}, start '{found.start}'; "
        f"predicted in {found.seconds:.1f} s, without memory for the weights."
    )


def amount(value: float, unit: str) -> str:
    """Return bytes or seconds in a unit that reads well.

    >>> amount(3.5e9, "bytes"), amount(7200, "seconds")
    ('3.5 GB', '2.0 h')
    """
    if unit == "bytes":
        for name, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
            if value >= size:
                return f"{value / size:.1f} {name}"
        return f"{value / 1e3:.1f} kB"
    if value >= 3600:
        return f"{value / 3600:.1f} h"
    return f"{value / 60:.1f} min" if value >= 90 else f"{value:.1f} s"


def cost_rows(found: Preflight) -> list[tuple[str, str, str]]:
    """Return one row for every cost."""
    return [(cost.name, amount(cost.value, cost.unit), cost.basis) for cost in found.costs]
