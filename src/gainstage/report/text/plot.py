"""Draws a line chart as text, with braille dots where the terminal has them, and with letters elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from gainstage.errors import InputError
from gainstage.report.placement import spread_apart
from gainstage.report.scale import Scale, scale_for
from gainstage.report.series import Series
from gainstage.report.text.canvas import Canvas, Point
from gainstage.report.wording import clean, elide, figure, to_ascii

__all__ = ["line_plot"]

SIGNS, ASCII_SIGNS = "●▲■◆", "*o+x"
AXES, ASCII_AXES = "┤│└─", "+|+-"
STYLES = ("cyan", "yellow", "magenta", "green")
LONGEST_NAME = 18  # cells
SMALLEST_WIDTH, SMALLEST_HEIGHT = 40, 6


def line_plot(
    lines: Sequence[Series],
    *,
    width: int = 80,
    height: int = 14,
    x_label: str = "",
    y_label: str = "",
    log_y: bool = False,
    unicode: bool = True,
) -> Text:
    """Draw one to four lines with axes. Each line has a sign of its own, and its name and last value at its end.

    Args:
        lines: the lines to draw.
        width: number of cells across, at least 40.
        height: number of rows of the drawing itself, at least 6.
        x_label: written under the x axis.
        y_label: written above the y axis.
        log_y: whether y is logarithmic; values that are not positive then interrupt the line.
        unicode: whether braille characters can be printed.

    Raises:
        InputError: there are no lines or more than four, or the size is too small.

    >>> from gainstage.report.series import series
    >>> print(line_plot([series("loss", [4, 3, 2, 1, 0])], width=40, height=6, unicode=False).plain)
    4 +****
      |    ******
    2 +          *****
      |               ****
      |                   *****
    0 +                        ***  * loss 0
      +---------------------------
       0            2            4
    """
    if not 1 <= len(lines) <= len(SIGNS):
        raise InputError(f"A text plot holds one to {len(SIGNS)} lines; received {len(lines)}. Draw the rest apart.")
    if width < SMALLEST_WIDTH or height < SMALLEST_HEIGHT:
        raise InputError(f"A text plot needs {SMALLEST_WIDTH}×{SMALLEST_HEIGHT} cells; received {width}×{height}.")
    xs, ys = [v for line in lines for v in line.x], [v for line in lines for v in line.y]
    x, y = scale_for(xs, whole=all(v.is_integer() for v in xs)), scale_for(ys, log=log_y)
    signs = SIGNS if unicode else ASCII_SIGNS
    names = [
        f"{sign} {_printable(elide(clean(line.label), LONGEST_NAME), unicode)} {figure(line.y[-1])}"
        for sign, line in zip(signs, lines, strict=False)
    ]
    margin = _left_margin(y, height)
    gutter = max(map(len, margin.values()))
    canvas = Canvas(width - gutter - 4 - max(map(cell_len, names)), height, braille=unicode)
    for place, line in enumerate(lines):
        canvas.draw(place, _points(line, x, y), signs[place])
    named = dict(zip(_name_rows(lines, y, height), range(len(lines)), strict=True))

    tick, wall, corner, floor = tuple(AXES if unicode else ASCII_AXES)
    text = Text()
    if y_label:
        text.append(_printable(clean(y_label), unicode) + "\n", "dim")
    for row in range(height):
        drawn = Text(f"{margin.get(row, ''):>{gutter}} {tick if row in margin else wall}", "dim")
        for character, owner in canvas.row(row):
            drawn.append(character, STYLES[owner] if owner >= 0 else "")
        if row in named:
            drawn.append(f"  {names[named[row]]}", STYLES[named[row]])
        drawn.rstrip()
        text.append(drawn).append("\n")
    text.append(f"{' ' * gutter} {corner}{floor * canvas.columns}\n", "dim")
    text.append(f"{' ' * gutter} {_below(x, canvas.columns)}", "dim")
    if x_label:
        text.append(f"  {_printable(clean(x_label), unicode)}", "dim")
    return text


def _printable(text: str, unicode: bool) -> str:
    return text if unicode else to_ascii(text)


def _points(line: Series, x: Scale, y: Scale) -> list[Point | None]:
    places = ((x.fraction(a), y.fraction(b)) for a, b in zip(line.x, line.y, strict=True))
    return [None if across is None or up is None else (across, up) for across, up in places]


def _left_margin(y: Scale, height: int) -> dict[int, str]:
    return {_row(y.fraction(t.value) or 0.0, height): t.label for t in y.ticks(max(height // 3, 2))}


def _row(up: float, height: int) -> int:
    return round((1 - up) * (height - 1))


def _name_rows(lines: Sequence[Series], y: Scale, height: int) -> list[int]:
    """Return the row of each name, beside the last point that has a position; every name has a row of its own."""
    ends = [[up for v in line.y if (up := y.fraction(v)) is not None][-1:] or [0.0] for line in lines]
    places = spread_apart([_row(end[0], height) for end in ends], 1.0, 0, height - 1)
    return [math.floor(place + 0.5) for place in places]  # round() would map 1.5 and 2.5 to the same row


def _below(x: Scale, columns: int) -> str:
    cells = [" "] * (columns + 1)
    free = 0
    for tick in x.ticks(max(columns // 10, 2)):
        middle = 1 + round((x.fraction(tick.value) or 0.0) * (columns - 1))
        start = min(max(middle - len(tick.label) // 2, free), columns + 1 - len(tick.label))
        if start >= free:
            cells[start : start + len(tick.label)] = tick.label
            free = start + len(tick.label) + 1
    return "".join(cells).rstrip()
