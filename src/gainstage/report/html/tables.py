"""Writes the tables of a page: every layer, every weight, every assignment."""

from __future__ import annotations

from collections.abc import Iterator

from gainstage.records import Assignment, Plan, Profile
from gainstage.report.charts.updates import relative_changes
from gainstage.report.depth import through_depth
from gainstage.report.html.parts import Column, heading, paragraph, table
from gainstage.report.text.plan import plan_rows, scheme_text, spread_text
from gainstage.report.wording import count, figure, shape_text

__all__ = ["every_assignment", "every_layer", "every_weight"]

MOST_LAYERS = 2500  # rows; of a larger model, only the layers with a weight are listed

NUMBER, PROSE = "number", "prose"
LAYERS = (
    Column("layer"), Column("module"), Column("operation"), Column("shape"),
    Column("mean", NUMBER), Column("spread", NUMBER), Column("share across examples", NUMBER),
    Column("gradient norm", NUMBER),
)  # fmt: skip
WEIGHTS = (
    Column("weight"), Column("role"), Column("shape"), Column("spread", NUMBER), Column("gradient norm", NUMBER),
)  # fmt: skip
PLAN = (
    Column("parameter"), Column("role"), Column("shape"), Column("scheme"), Column("spread", NUMBER),
    Column("reason", PROSE),
)  # fmt: skip


def every_layer(profile: Profile) -> Iterator[str]:
    """Yield one row for every measured operation, in order of execution."""
    layer = {node: place for place, node in enumerate(through_depth(profile).nodes, start=1)}
    listed = profile.nodes
    if len(listed) > MOST_LAYERS:
        listed = tuple(n for n in listed if n.node in layer)
    doubtful = any(measured.doubt for measured in listed)
    rows = []
    for measured in listed:
        node, back = profile.node(measured), measured.backward
        told = (
            str(layer.get(node.index, "")),
            node.path or "the model itself",
            node.function or node.operation.value,
            shape_text(node.shape),
            figure(measured.forward.mean),
            figure(measured.forward.spread),
            _figure(measured.forward.example_share),
            _figure(back.norm if back else None),
        )
        rows.append((*told, measured.doubt) if doubtful else told)
    yield heading(2, "Every layer")
    if len(listed) < len(profile.nodes):
        yield paragraph(
            f"The {count(len(listed), 'layer')} with a weight, of {len(profile.nodes):,} operations.", "soft"
        )
    yield table((*LAYERS, Column("doubt", PROSE)) if doubtful else LAYERS, rows, sortable=True)


def every_weight(profile: Profile) -> Iterator[str]:
    """Yield one row for every weight that a step changes."""
    stepped, ratios = relative_changes(profile)
    if not ratios:
        return
    rows = []
    for measured, ratio in ratios:
        parameter = profile.parameter(measured)
        rows.append(
            (
                measured.path,
                parameter.role.value.replace("_", " "),
                shape_text(parameter.shape),
                figure(measured.weight.spread),
                _figure(measured.gradient.norm if measured.gradient else None),
                figure(ratio),
            )
        )
    yield heading(2, "Every weight")
    yield table((*WEIGHTS, Column("step/weight" if stepped else "gradient/weight", NUMBER)), rows, sortable=True)


def every_assignment(plan: Plan) -> str:
    """Return one row for every array, or every run of identical blocks."""
    return table(PLAN, (_assigned(row.label, row.items) for row in plan_rows(plan)), sortable=True)


def _assigned(label: str, items: tuple[Assignment, ...] | list[Assignment]) -> tuple[str, ...]:
    first = items[0]
    return (
        f"{label}{f' ×{len(items)}' if len(items) > 1 else ''}",
        first.role.value.replace("_", " "),
        shape_text(first.shape),
        scheme_text(first),
        spread_text(items),
        first.reason,
    )


def _figure(value: float | None) -> str:
    return "" if value is None else figure(value)
