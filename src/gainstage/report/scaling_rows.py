"""Sentences, rows and lines about width and depth, for text and pages alike."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.records import Axis, ModuleScaling, Quantity, Scaling, Trend
from gainstage.report.series import Series
from gainstage.report.wording import count

__all__ = ["MOST_LINES", "axes", "cells", "headline", "lines", "shown_quantity", "slope_text", "verdict"]

MOST_LINES = 8


def headline(found: Scaling) -> str:
    """Return the verdict in a few words."""
    if found.ok:
        return "A rate carries over"
    changed = sum(bool(m.verdict) for m in found.modules)
    return f"{count(changed, 'module')} {'changes' if changed == 1 else 'change'} with size"


def verdict(found: Scaling) -> str:
    """Return how it was found out."""
    sizes = "; ".join(f"{axis}s {', '.join(map(str, found.sizes(axis)))}" for axis in axes(found))
    rates = "one rate for all" if found.rates == "same" else "rates by size and weight (gs.parameter_groups)"
    trained = f"; measured over {count(found.steps, 'step')} and {count(found.draws, 'draw')}" if found.steps else ""
    return f"{sizes}. Start: {found.start}. {found.optimizer}, {rates}. Predicted by theory{trained}."


def axes(found: Scaling) -> list[Axis]:
    """Return the axes along which sizes were varied."""
    named: tuple[Axis, Axis] = ("width", "depth")
    return [axis for axis in named if found.along(axis)]


def slope_text(trend: Trend | None) -> str:
    """Return a slope, with half the width of its interval where it has one."""
    if trend is None:
        return "–"
    half = (trend.slope.high - trend.slope.low) / 2
    return f"{trend.slope.value:+.2f}" + (f" ± {half:.2f}" if half >= 0.005 else "")


def cells(module: ModuleScaling, *, measured: bool) -> tuple[str, ...]:
    """Return the cells of one module: its path, role, slopes, and verdict."""
    names: list[Quantity] = ["signal", "gradient", "update"]
    if measured:
        names.append("movement")
    return (
        module.path,
        module.role.replace("_", " "),
        *(slope_text(module.trend(name)) for name in names),
        module.verdict or "carries over",
    )


def shown_quantity(found: Scaling) -> Quantity:
    """Return the quantity that the picture shows: what was measured, where anything was."""
    return "movement" if found.steps else "update"


def lines(found: Scaling, axis: Axis) -> Sequence[Series]:
    """Return one line for each of the modules that change most, relative to the smallest size."""
    quantity = shown_quantity(found)
    known = [(m, t) for m in found.along(axis) if (t := m.trend(quantity)) is not None and t.values[0] > 0]
    chosen = sorted(known, key=lambda pair: -abs(pair[1].slope.value))[:MOST_LINES]
    sizes = tuple(float(size) for size in found.sizes(axis))
    order = {module.path: place for place, (module, _) in enumerate(known)}
    chosen.sort(key=lambda pair: order[pair[0].path])
    return [Series(m.path, sizes, tuple(v / t.values[0] for v in t.values)) for m, t in chosen]
