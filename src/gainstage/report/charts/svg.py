"""Builds SVG elements as text. Every variable text is escaped by ``element`` or ``escaped``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from gainstage.report.wording import clean

__all__ = ["document", "element", "escaped", "number", "path", "text"]

_NOT_XML = re.compile("[\ufdd0-\ufdef\ufffe\uffff]")

# Shared by every chart, so that a page with many charts can allow it by one hash. It has no CSS variables, since only
# browsers support them. Colours of Okabe and Ito (2008), darkened or lightened for contrast with the ground.
STYLE = """
.gs{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,'DejaVu Sans',sans-serif}
.gs .ground{fill:#fff}.gs text{fill:#5b6470}.gs .title{font-size:14px;font-weight:600;fill:#1b1f24}
.gs .grid{stroke:#e6e9ed;fill:none}.gs .axis{stroke:#aab2bd;fill:none}
.gs .line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.gs .band{stroke:none;fill-opacity:.16}
.gs .dot{stroke:#fff;stroke-width:1}.gs .touch{fill-opacity:0;stroke:none}.gs .mark{fill:none;stroke-width:1.5}
.gs .guide{fill:none;stroke:#5b6470;stroke-dasharray:3 3}.gs .flag{fill:none;stroke:#b3261e;stroke-dasharray:2 3}
.gs text.flag{fill:#b3261e;stroke:none;font-weight:600}
.gs .warning{stroke:#8a5300}.gs text.warning{fill:#8a5300}.gs .note{stroke:#0b5cad}.gs text.note{fill:#0b5cad}
.gs .area{stroke:none;fill-opacity:.1}
.gs text.soft{fill:#5b6470}.gs text.ink{fill:#1b1f24}
.gs .bars{stroke:none;fill-opacity:.75}.gs .heat{image-rendering:pixelated}.gs .thin{stroke-width:1.5}
.gs .d2{stroke-dasharray:7 4}.gs .d3{stroke-dasharray:2 4}.gs .d4{stroke-dasharray:8 4 2 4}
.gs .d5{stroke-dasharray:12 4}.gs text.name{font-weight:600}
.gs .s0{stroke:#0072b2}.gs .f0{fill:#0072b2}.gs .s1{stroke:#c94f00}.gs .f1{fill:#c94f00}
.gs .s2{stroke:#00805f}.gs .f2{fill:#00805f}.gs .s3{stroke:#a3428a}.gs .f3{fill:#a3428a}
.gs .s4{stroke:#8a6500}.gs .f4{fill:#8a6500}.gs .s5{stroke:#555d66}.gs .f5{fill:#555d66}
@media (prefers-color-scheme:dark){
.gs .ground{fill:#14171b}.gs text{fill:#a3adb9}.gs .title{fill:#eef1f4}
.gs .grid{stroke:#272c33}.gs .axis{stroke:#59626d}.gs .dot{stroke:#14171b}.gs .guide{stroke:#a3adb9}
.gs .flag{stroke:#ff8a80}.gs text.flag{fill:#ff8a80}.gs .warning{stroke:#f0b95a}.gs text.warning{fill:#f0b95a}
.gs .note{stroke:#7cc0ff}.gs text.note{fill:#7cc0ff}.gs text.soft{fill:#a3adb9}.gs text.ink{fill:#eef1f4}
.gs .s0{stroke:#56b4e9}.gs .f0{fill:#56b4e9}.gs .s1{stroke:#ff9a57}.gs .f1{fill:#ff9a57}
.gs .s2{stroke:#2fcfa0}.gs .f2{fill:#2fcfa0}.gs .s3{stroke:#e79ad0}.gs .f3{fill:#e79ad0}
.gs .s4{stroke:#f0c94a}.gs .f4{fill:#f0c94a}.gs .s5{stroke:#b9c1ca}.gs .f5{fill:#b9c1ca}
}
"""
COLOURS = 6


def escaped(value: str) -> str:
    """Escape a text for use between tags and inside quotes.

    >>> escaped('<b class="x">')
    '&lt;b class=&quot;x&quot;&gt;'
    """
    return escape(_NOT_XML.sub("\ufffd", clean(value)), quote=True)


def number(value: float) -> str:
    """Format a coordinate to a tenth of a pixel.

    >>> number(12.0), number(3.14159)
    ('12', '3.1')
    """
    return f"{value:.1f}".removesuffix(".0")


def element(name: str, attributes: dict[str, str | float], *children: str) -> str:
    """Return one element; ``children`` are finished elements, or escaped text."""
    told = "".join(f' {k}="{escaped(v) if isinstance(v, str) else number(v)}"' for k, v in attributes.items())
    return f"<{name}{told}>{''.join(children)}</{name}>" if children else f"<{name}{told}/>"


def text(x: float, y: float, content: str, css: str = "", anchor: str = "start", full: str = "") -> str:
    """Return a line of text; ``full`` is shown when the pointer is over it."""
    attributes: dict[str, str | float] = {"x": x, "y": y}
    if css:
        attributes["class"] = css
    if anchor != "start":
        attributes["text-anchor"] = anchor
    title = [element("title", {}, escaped(full))] if full and full != content else []
    return element("text", attributes, escaped(content), *title)


def path(points: Iterable[tuple[float, float]], css: str, *, closed: bool = False, title: str = "") -> str:
    """Return straight lines through the points."""
    told = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points) + ("Z" if closed else "")
    return element("path", {"class": css, "d": told}, *([element("title", {}, escaped(title))] if title else []))


def document(width: float, height: float, label: str, body: Iterable[str]) -> str:
    """Return the whole chart.

    Args:
        width: width in pixels; the chart scales with its container.
        height: height in pixels; likewise.
        label: description for screen readers.
        body: the elements of the chart.
    """
    attributes: dict[str, str | float] = {
        "xmlns": "http://www.w3.org/2000/svg", "class": "gs", "viewBox": f"0 0 {number(width)} {number(height)}",
        "width": width, "height": height, "style": "max-width:100%;height:auto", "role": "img", "aria-label": label,
    }  # fmt: skip
    ground = element("rect", {"class": "ground", "width": width, "height": height, "rx": 6.0})
    return element("svg", attributes, element("style", {}, STYLE), ground, *body) + "\n"
