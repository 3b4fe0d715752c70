"""The signal and the gradient through depth, before and after in one picture."""

from __future__ import annotations

from collections.abc import Sequence

from gainstage.records import Profile
from gainstage.report.charts.curves import check_size
from gainstage.report.charts.panel import Panel, axis_width, label_width
from gainstage.report.charts.svg import document, text
from gainstage.report.depth import Depth, through_depth
from gainstage.report.scale import scale_for
from gainstage.report.series import Series
from gainstage.report.wording import count, elide, figure

__all__ = ["depth_profile"]

SPREAD = "Forward spread"
GRADIENT = "Gradient norm"
MEANING = {SPREAD: "standard deviation of each layer's output", GRADIENT: "of the loss by each layer's output"}
GAP = 66.0  # pixels between the two panels: figures below the upper one, heading of the lower one


def depth_profile(before: Profile, after: Profile | None = None, *, width: float = 720, height: float = 480) -> str:
    """Forward spread above, norm of the gradient below, on logarithmic axes, at every layer that has a weight.

    A gap in a line is a figure that is no number (a cross at the upper edge) or an exact zero (a triangle at the lower
    one).

    Args:
        before: the profile to show.
        after: the same model after a fix; the first one is then dashed.
        width: in pixels, at least 240.
        height: likewise, for both panels.

    Returns:
        One self-contained SVG element, light and dark, without script.

    Raises:
        InputError: too small a picture.
    """
    check_size(width, height)
    depths = [through_depth(before)] + ([through_depth(after)] if after is not None else [])
    names = ("before", "after") if after is not None else ("",)
    shown = {
        heading: [_line(name, depth, heading) for name, depth in zip(names, depths, strict=True)]
        for heading in (SPREAD, GRADIENT)
    }
    present = {heading: lines for heading, some in shown.items() if (lines := [s for s in some if s is not None])}
    body = [text(16, 26, "Signal through depth", "title")]
    if not present:
        body.append(text(16, 54, "No layer with a weight was measured."))
    each = (height - 30 - 44 - GAP * (len(present) - 1) - 24) / max(len(present), 1)
    top = 54.0
    for place, (heading, lines) in enumerate(present.items()):
        last = place == len(present) - 1
        body.extend(_panel(heading, lines, width, top, each, "layer" if last else ""))
        top += each + GAP
    return document(width, height, _aria(present, max(map(len, depths))), body)


def _panel(heading: str, lines: Sequence[Series], width: float, top: float, height: float, x_label: str) -> list[str]:
    x = scale_for((v for line in lines for v in line.x), whole=True)
    y = scale_for((v for line in lines for v in line.y), log=True)
    left, right = axis_width(y, height - 12), label_width(lines, width)
    panel = Panel(left, top + 12, width - left - right, height - 12, x, y)
    body = [text(16, top - 4, f"{heading}: {MEANING[heading]}" if width >= 480 else heading)]
    body.extend(panel.axes(x_label))
    # Blue is what holds: the only line, or the one after the fix, which is drawn last, on top.
    colours = [1, 0] if len(lines) == 2 else [0]
    for line, colour in zip(lines, colours, strict=True):
        body.extend(panel.line(line, colour, "d2" if colour == 1 else ""))
    body.extend(panel.names(lines, colours, right))
    return body


def _line(name: str, depth: Depth, heading: str) -> Series | None:
    values = depth.spread if heading == SPREAD else depth.gradient
    known = [(i, v) for i, v in enumerate(values) if v is not None]
    if not known:
        return None
    when = f" {name}" if name else ""
    return Series(
        name or heading,
        tuple(float(i + 1) for i, _ in known),
        tuple(v for _, v in known),
        notes=tuple(f"{elide(depth.labels[i], 120)}, layer {i + 1}, {heading.lower()}{when}" for i, _ in known),
    )


def _aria(present: dict[str, list[Series]], layers: int) -> str:
    told = [
        f"{heading}{'' if line.label == heading else ' ' + line.label} from {figure(line.y[0])} to {figure(line.y[-1])}"
        for heading, lines in present.items()
        for line in lines
    ]
    return f"Signal through {count(layers, 'layer')}, logarithmic. {'; '.join(told) or 'nothing was measured'}."
