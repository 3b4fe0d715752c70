"""Places names of lines beside their ends where there is room, and in rows above the chart elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from gainstage.report.charts.svg import COLOURS, path, text
from gainstage.report.placement import spread_apart
from gainstage.report.wording import clean, elide

__all__ = [
    "LINE_HEIGHT", "Name", "at_ends", "cut", "fits_beside", "legend", "room_beside", "width_of",
]  # fmt: skip

LINE_HEIGHT = 15.0
GAP = 20.0  # pixels on both sides of a label together
LONGEST = 170.0  # pixels of a label beside its line
SWATCH = 22.0  # pixels of the piece of line before a name in a legend
MOST_BESIDE = 0.3  # share of the chart's width, for labels beside the lines


# Pixels of characters in the widest of the fonts asked for, bold, at 12 pixels: room is reserved for the worst case.
_NARROW, _USUAL, _CAPITAL, _WIDE, _IDEOGRAPH = 5.4, 9.0, 10.4, 13.4, 13.0
_PLAIN = 0.88  # relative to the width of bold text
_WIDTHS = {**dict.fromkeys("iljI.,:;'|!()[] ⁻⁰¹²³⁴⁵⁶⁷⁸⁹", _NARROW), **dict.fromkeys("mwMW@%…", _WIDE)}


def width_of(content: str, *, bold: bool = True) -> float:
    """Return an upper bound of the width of a text in pixels, at the size of labels.

    >>> width_of("mmm") > width_of("aaa") > width_of("iii")
    True
    """
    total = 0.0
    for character in content:
        if cell_len(character) > 1:
            total += _IDEOGRAPH
        else:
            total += _WIDTHS.get(character, _CAPITAL if character.isupper() else _USUAL)
    return total if bold else _PLAIN * total


def cut(content: str, pixels: float, *, bold: bool = True) -> str:
    """Shorten a text in its middle where it would exceed a width in pixels.

    >>> cut("encoder.layers.11.attention.query", 100)
    'enco…query'
    """
    shown, limit = content, len(content)
    while limit > 3 and width_of(shown, bold=bold) > pixels:
        limit -= 1
        shown = elide(content, limit)
    return shown


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a line, and how it is drawn.

    Args:
        text: the name.
        colour: number of the colour; negative for a guide, which is grey.
        dash: class of the dashes, or empty.
    """

    text: str
    colour: int = 0
    dash: str = ""

    @property
    def css(self) -> str:
        """Return the class of the name's text."""
        return f"name f{self.colour % COLOURS}" if self.colour >= 0 else "name soft"


def room_beside(names: Sequence[Name]) -> float:
    """Return the pixels that these names require at the right of a chart, including a small margin."""
    widest = max((width_of(cut(clean(name.text), LONGEST)) for name in names), default=0.0)
    return GAP + widest if names else 20.0


def fits_beside(names: Sequence[Name], width: float) -> bool:
    """Report whether the names leave most of the chart's width to the lines."""
    return room_beside(names) <= max(MOST_BESIDE * width, GAP + width_of("predicted"))


def at_ends(names: Sequence[tuple[Name, float]], x: float, top: float, bottom: float) -> Iterator[str]:
    """Draw each name at its wanted height or near it, without overlap.

    Args:
        names: names with their wanted heights.
        x: right edge of the chart.
        top: highest position of a name.
        bottom: lowest position of a name.
    """
    places = spread_apart([y for _, y in names], LINE_HEIGHT, top, bottom)
    for (name, _), y in zip(names, places, strict=True):
        whole = clean(name.text)
        yield text(x + GAP / 2, y + 4, cut(whole, LONGEST), name.css, full=whole)


def legend(names: Sequence[Name], left: float, top: float, width: float) -> tuple[list[str], float]:
    """Draw rows of swatches and names, and return their height."""
    body: list[str] = []
    x, y = left, top + 10
    for name in names:
        whole = clean(name.text)
        shown = cut(whole, width - SWATCH - 8)
        needed = SWATCH + 6 + width_of(shown)
        if x > left and x + needed > left + width:
            x, y = left, y + LINE_HEIGHT + 3
        stroke = f"line s{name.colour % COLOURS} {name.dash}".rstrip() if name.colour >= 0 else "guide"
        body.append(path([(x, y - 4), (x + SWATCH, y - 4)], stroke))
        body.append(text(x + SWATCH + 6, y, shown, name.css, full=whole))
        x += needed + 12
    return body, y - top + 8 if names else 0.0
