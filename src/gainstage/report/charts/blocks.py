"""Draws a network of repeated blocks: one line for each kind of layer over the number of the block."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gainstage.report.blocks import Folded, Kind
from gainstage.report.charts.flags import Flag, draw_flags
from gainstage.report.charts.frame import MARGIN, heading
from gainstage.report.charts.labels import LINE_HEIGHT, Name, legend
from gainstage.report.charts.panel import Panel, below_axis
from gainstage.report.charts.svg import document, text
from gainstage.report.depth import Depth
from gainstage.report.scale import scale_for
from gainstage.report.series import Series
from gainstage.report.wording import count, elide, figure

__all__ = ["BETWEEN", "GRADIENT", "MEANING", "SPREAD", "Drawn", "block_lines", "folded_chart"]

SPREAD = "Forward spread"
GRADIENT = "Gradient norm"
MEANING = {SPREAD: "standard deviation of each layer's output", GRADIENT: "of the loss, by each layer's output"}
BETWEEN = 62.0  # pixels between the two panels: tick labels of the upper one, heading of the lower one
STREAM = "residual stream"
MOST_COLOURS = 5  # the sixth colour is the stream's
TOGETHER = {"predicted": "d3", "before": "d2"}  # dashes of what is drawn beside the measurement


@dataclass(frozen=True, slots=True)
class Drawn:
    """A network through depth, and the name and style of its lines."""

    name: Name
    depth: Depth


def folded_chart(
    drawn: Sequence[Drawn], blocks: Folded, flags: Sequence[Flag], *, title: str, width: float, height: float
) -> str:
    """Draw both panels over the number of the block; the legend above names the kinds of layers.

    Args:
        drawn: networks with the same layers, the measurement first.
        blocks: how their layers form blocks.
        flags: layers where findings begin, by the number of the layer.
        title: title above the chart; may be empty.
        width, height: in pixels.
    """
    heads = {h: some for h in (SPREAD, GRADIENT) if (some := _all_lines(drawn, blocks, h))}
    names = [name for name, line, first in heads[SPREAD] if first]
    others = [Name(d.name.text, 5, TOGETHER.get(d.name.text, "")) for d in drawn[1:]]
    body, top = heading(title, _outside(blocks), width)
    entries, rows = legend([*names, *others], MARGIN, top + 6, width - 2 * MARGIN)
    body.extend(entries)
    at = [replace(flag, layer=_block_of(blocks, flag.layer - 1)) for flag in flags]
    room = LINE_HEIGHT if flags else 0.0
    top += 26 + rows
    each = max((height - top - 12 - room - below_axis("block") - BETWEEN * (len(heads) - 1)) / len(heads), 60.0)
    for place, (head, lines) in enumerate(heads.items()):
        x = scale_for((v for _, line, _ in lines for v in line.x), whole=True)
        y = scale_for((v for _, line, _ in lines for v in line.y), log=True)
        panel = Panel.fitted(x, y, top + 12 + room, width, each)
        body.append(text(MARGIN, top - 2, head))
        body.extend(panel.axes("block" if place == len(heads) - 1 else ""))
        body.extend(draw_flags(panel, at, named=place == 0))
        for name, line, _ in reversed(lines):  # the first network on top
            body.extend(panel.line(line, name.colour, name.dash))
        bottom, top, room = panel.bottom, panel.bottom + BETWEEN - 12, 0.0
    told = [
        f"{head} of {name.text} from {figure(line.y[0])} to {figure(line.y[-1])}"
        for head, lines in heads.items()
        for name, line, first in lines
        if first
    ]
    told += [f"{flag.text} in block {flag.layer}" for flag in at]
    label = f"Signal through {count(len(blocks.starts), 'block')}, logarithmic. {'; '.join(told)}."
    return document(width, max(height, bottom + below_axis("block")), label, body)


def _outside(blocks: Folded) -> str:
    if not blocks.outside:
        return ""
    return f"{count(blocks.outside, 'layer')} outside the blocks: see the table of all layers"


def _block_of(blocks: Folded, place: int) -> int:
    """Return the number of the block that a layer stands in; of the last one before it where it stands in none."""
    return max(bisect_right(blocks.starts, place), 1)


def _all_lines(drawn: Sequence[Drawn], blocks: Folded, head: str) -> list[tuple[Name, Series, bool]]:
    """Return the lines of all networks with their names, and whether they are the first network's."""
    found = []
    for network, one in enumerate(drawn):
        dash = TOGETHER.get(one.name.text, "") if network else ""
        when = f" {one.name.text}" if one.name.text else ""
        for colour, line in block_lines(one.depth, blocks, forward=head == SPREAD, when=f"{head.lower()}{when}"):
            found.append((Name(line.label, colour, dash), line, network == 0))
    return found


def block_lines(depth: Depth, blocks: Folded, *, forward: bool, when: str = "") -> list[tuple[int, Series]]:
    """Return a line for each kind of layer and one for the residual stream, each with the number of its colour.

    Args:
        depth: the values of all layers.
        blocks: how the layers form blocks.
        forward: whether the lines are of the signal's standard deviation, or of the gradient's norm.
        when: what the remark of a point says besides the layer.
    """
    values: Sequence[float | None] = depth.spread if forward else depth.gradient
    lines = [
        (place % MOST_COLOURS, line)
        for place, kind in enumerate(blocks.kinds)
        if (line := _kind_line(depth, kind, values, when)) is not None
    ]
    sums = [(add, add.spread if forward else add.gradient) for add in depth.stream]
    behind: dict[int, float] = {}
    for add, value in sums:
        if value is not None and add.node > depth.nodes[blocks.starts[0]]:
            behind[_block_of(blocks, max(bisect_right(depth.nodes, add.node) - 1, 0))] = value
    if len(behind) > 1:
        notes = tuple(f"{STREAM} behind block {block}, {when}" for block in behind)
        lines.append((5, Series(STREAM, tuple(map(float, behind)), tuple(behind.values()), notes=notes)))
    return lines


def _kind_line(depth: Depth, kind: Kind, values: Sequence[float | None], when: str) -> Series | None:
    known = [(block, place, v) for block, place in zip(kind.blocks, kind.places, strict=True)
             if (v := values[place]) is not None]  # fmt: skip
    if not known:
        return None
    by_block = {block: (place, v) for block, place, v in known}  # a layer that runs twice is shown as it ran last
    return Series(
        kind.label,
        tuple(map(float, by_block)),
        tuple(v for _, v in by_block.values()),
        notes=tuple(f"{elide(depth.labels[place], 120)}, {when}" for place, _ in by_block.values()),
    )
