"""Draws signal and gradient through depth: measured, predicted with its band, before and after a fix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gainstage.records import Finding, Profile
from gainstage.report.blocks import fold
from gainstage.report.charts.blocks import BETWEEN, GRADIENT, MEANING, SPREAD, Drawn, folded_chart
from gainstage.report.charts.flags import Flag, draw_flags, flags_of
from gainstage.report.charts.frame import MARGIN, check_size, heading
from gainstage.report.charts.labels import LINE_HEIGHT, Name, width_of
from gainstage.report.charts.panel import Panel, below_axis
from gainstage.report.charts.svg import document, text
from gainstage.report.depth import Depth, through_depth
from gainstage.report.scale import scale_for
from gainstage.report.series import Series
from gainstage.report.wording import count, elide, figure

__all__ = ["Through", "depth_chart", "depth_profile"]


# Blue marks the current state: the only line, or the one after the fix, which is drawn last, on top.
STYLES = {"": (0, ""), "measured": (0, ""), "predicted": (2, "d3"), "before": (1, "d2"), "after": (0, "")}


@dataclass(frozen=True, slots=True)
class Through:
    """A network through depth.

    Args:
        name: ``predicted``, ``after``, or empty for the measurement itself.
        depth: its values.
    """

    name: str
    depth: Depth


def depth_profile(
    before: Profile,
    after: Profile | None = None,
    *,
    predicted: Profile | None = None,
    findings: Sequence[Finding] = (),
    title: str = "Signal through depth",
    width: float = 720,
    height: float = 480,
) -> str:
    """Draw the forward standard deviation and the gradient's norm at every weighted layer, on logarithmic axes.

    A gap in a line marks a value that is not finite (a cross at the upper edge) or an exact zero (a triangle at the
    lower edge).

    Args:
        before: the profile to show.
        after: a profile of the same model after a fix; ``before`` is then dashed.
        predicted: the prediction for the same model, dotted, with its band where it has one.
        findings: findings whose layers are flagged.
        title: title above the chart; may be empty where a heading says the same.
        width: width in pixels, at least 240.
        height: height in pixels of both panels together, at least 240.

    Returns:
        One self-contained SVG element, for light and dark pages, without script.

    Raises:
        InputError: the chart is too small.
    """
    given = (("predicted", predicted), ("", before), ("after", after))
    through = [Through(name, through_depth(profile)) for name, profile in given if profile is not None]
    return depth_chart(through, findings=findings, title=title, width=width, height=height)


def depth_chart(
    through: Sequence[Through],
    *,
    findings: Sequence[Finding] = (),
    title: str = "",
    width: float = 720,
    height: float = 480,
) -> str:
    """Draw what ``depth_profile`` draws, from values that were extracted or measured already.

    Repeated blocks are folded: a line for each kind of layer, and one for the residual stream, over the number of the
    block.

    Args:
        through: one to three networks; that of the measurement has no name.
        findings: findings whose layers are flagged.
        title: title above the chart; may be empty.
        width, height: in pixels, at least 240.

    Raises:
        InputError: the chart is too small.
    """
    check_size(width, height)
    drawn = _named(through)
    flags = flags_of(findings, drawn[0].depth)
    blocks = fold(drawn[0].depth.paths)
    if blocks is not None and all(d.depth.paths == drawn[0].depth.paths for d in drawn):
        return folded_chart(drawn, blocks, flags, title=title, width=width, height=height)
    shown = {head: some for head in (SPREAD, GRADIENT) if (some := _present(drawn, head))}
    body, top = heading(title, "", width)
    if not shown:
        body.append(text(MARGIN, 54, "No layer with a weight was measured."))
    room = LINE_HEIGHT if flags else 0.0
    each = (height - top - 32 - room - below_axis("layer") - BETWEEN * (len(shown) - 1)) / max(len(shown), 1)
    top += 20
    for place, (head, lines) in enumerate(shown.items()):
        names = [name for name, _ in lines] if len(lines) > 1 else []
        panel = _panel([line for _, line in lines], names, top + 12 + room, width, each)
        telling = f"{head}: {MEANING[head]}"
        body.append(text(MARGIN, top - 2, telling if width_of(telling, bold=False) < width - MARGIN else head))
        body.extend(panel.axes("layer" if place == len(shown) - 1 else ""))
        body.extend(draw_flags(panel, flags, named=place == 0))
        for name, line in sorted(lines, key=lambda drawn: drawn[0].text != "predicted"):  # measurements on top
            body.extend(panel.line(line, name.colour, name.dash))
        body.extend(panel.names([(name, panel.end(line)) for name, line in lines] if names else []))
        top, room = panel.bottom + BETWEEN - 12, 0.0
    return document(width, height, _aria(shown, max(len(d.depth) for d in drawn), flags), body)


def _named(through: Sequence[Through]) -> list[Drawn]:
    """Name the lines: an only one has no name, and a measurement is named by what stands beside it."""
    first = "" if len(through) == 1 else "before" if any(t.name == "after" for t in through) else "measured"
    drawn = [Drawn(Name(name, *STYLES[name]), t.depth) for t in through for name in (t.name or first,)]
    return sorted(drawn, key=lambda d: d.name.text == "predicted")  # measurements come first


def _present(drawn: Sequence[Drawn], head: str) -> list[tuple[Name, Series]]:
    return [(d.name, line) for d in drawn if (line := _line(d, head)) is not None]


def _panel(lines: Sequence[Series], names: Sequence[Name], top: float, width: float, height: float) -> Panel:
    x = scale_for((v for line in lines for v in line.x), whole=True)
    y = scale_for((v for line in lines for v in (*line.y, *line.low, *line.high)), log=True)
    return Panel.fitted(x, y, top, width, height, names)


def _line(drawn: Drawn, head: str) -> Series | None:
    depth = drawn.depth
    values = depth.spread if head == SPREAD else depth.gradient
    bands = depth.spread_band if head == SPREAD else depth.gradient_band
    known = [(i, v) for i, v in enumerate(values) if v is not None]
    if not known:
        return None
    when = f" {drawn.name.text}" if drawn.name.text else ""
    edges = [band or (v, v) for i, v in known for band in (bands[i],)] if any(bands) else []
    return Series(
        drawn.name.text or head,
        tuple(float(i + 1) for i, _ in known),
        tuple(v for _, v in known),
        low=tuple(low for low, _ in edges),
        high=tuple(high for _, high in edges),
        notes=tuple(f"{elide(depth.labels[i], 120)}, layer {i + 1}, {head.lower()}{when}" for i, _ in known),
    )


def _aria(shown: dict[str, list[tuple[Name, Series]]], layers: int, flags: Sequence[Flag]) -> str:
    told = [
        f"{head}{f' {name.text}' if name.text else ''} from {figure(line.y[0])} to {figure(line.y[-1])}"
        for head, lines in shown.items()
        for name, line in lines
    ]
    told += [f"{flag.text} at layer {flag.layer}" for flag in flags]
    return f"Signal through {count(layers, 'layer')}, logarithmic. {'; '.join(told) or 'nothing was measured'}."
