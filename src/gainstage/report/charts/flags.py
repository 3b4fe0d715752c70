"""Flags the layers where findings begin, in a chart through depth."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gainstage.records import Finding, Severity
from gainstage.report.charts.labels import width_of
from gainstage.report.charts.panel import Panel
from gainstage.report.charts.svg import path, text
from gainstage.report.depth import Depth
from gainstage.report.placement import spread_apart

__all__ = ["Flag", "draw_flags", "flags_of"]

ROOM = 12.0  # pixels between the texts of two flags


@dataclass(frozen=True, slots=True)
class Flag:
    """One layer with its findings.

    Args:
        layer: number of the layer, counted from 1 as on the axis.
        text: code of the worst finding, and the number of further findings.
        full: code and title of every finding.
        severity: severity of the worst finding.
    """

    layer: int
    text: str
    full: str
    severity: Severity


def flags_of(findings: Sequence[Finding], depth: Depth) -> tuple[Flag, ...]:
    """Return one flag for every layer where a finding begins: the layer of its node, or the last one before it."""
    at: dict[int, list[Finding]] = {}
    for finding in findings:
        if finding.node is not None and len(depth):
            at.setdefault(max(bisect_right(depth.nodes, finding.node), 1), []).append(finding)
    return tuple(
        Flag(
            layer,
            some[0].code + (f" +{len(some) - 1}" if len(some) > 1 else ""),
            "; ".join(f"{f.severity.value} {f.code} {f.title}" for f in some),
            min((f.severity for f in some), key=lambda severity: severity.rank),
        )
        for layer, some in at.items()
    )


def draw_flags(panel: Panel, flags: Sequence[Flag], *, named: bool) -> Iterator[str]:
    """Draw a dashed line per flag, with the code above where ``named``; flags without room are left out."""
    widest = max((width_of(flag.text) for flag in flags), default=1.0) + ROOM
    fit = list(flags[: max(int((panel.width + ROOM) / widest), 1)])
    wanted = [panel.left + (panel.x.fraction(float(flag.layer)) or 0.0) * panel.width for flag in fit]
    half = (widest - ROOM) / 2
    places = spread_apart(wanted, widest, panel.left + half, max(panel.right - half, panel.left + half))
    for flag, x, middle in zip(fit, wanted, places, strict=True):
        css = f"flag {flag.severity.value}"
        yield path([(x, panel.top), (x, panel.bottom)], css, title=flag.full)
        if named:
            if abs(middle - x) > 1:
                yield path([(middle, panel.top - 4), (x, panel.top)], css)
            yield text(middle, panel.top - 7, flag.text, css, anchor="middle", full=flag.full)
