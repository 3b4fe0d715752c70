"""A panel is one pair of axes: it maps values to pixels, and draws lines, grid and guides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gainstage.report.charts.labels import Name, at_ends, cut, fits_beside, room_beside, width_of
from gainstage.report.charts.svg import COLOURS, element, escaped, path, text
from gainstage.report.scale import Axis, Tick
from gainstage.report.series import Series
from gainstage.report.wording import clean, figure

__all__ = ["Panel", "below_axis"]

TOUCH_ROOM = 16.0  # pixels across between points that react to the pointer
MOST_DOTS = 40  # points of a line that are drawn as dots
DOT_ROOM = 9.0  # pixels across that a dot requires; where there is less room, only the line is drawn
RIGHT_MARGIN = 20.0  # free pixels at the right of every panel
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Pixel = tuple[float, float]
T = TypeVar("T")


def below_axis(x_label: str) -> float:
    """Return the pixels required under a panel for tick labels and the name of the x axis."""
    return 44.0 if x_label else 28.0


def _axis_width(y: Axis, height: float) -> float:
    """Return the pixels for the tick labels of a y axis; usual labels align from chart to chart."""
    return max(56.0, 16 + max(width_of(_power(tick.label), bold=False) for tick in _y_ticks(y, height)))


def _y_ticks(y: Axis, height: float) -> tuple[Tick, ...]:
    return y.ticks(max(int(height // 36), 2))


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle of pixels with a scale in each direction."""

    left: float
    top: float
    width: float
    height: float
    x: Axis
    y: Axis

    @staticmethod
    def fitted(x: Axis, y: Axis, top: float, width: float, height: float, names: Sequence[Name] = ()) -> Panel:
        """Return a panel across a chart of that width, with room for tick labels and, where they fit, for names.

        Args:
            x: the axis below the panel.
            y: the axis at the left of the panel.
            top: upper edge of the panel.
            width: width of the whole chart.
            height: height of the panel itself.
            names: names of the lines.
        """
        left = _axis_width(y, height)
        right = room_beside(names) if fits_beside(names, width) else room_beside(())
        return Panel(left, top, width - left - right, height, x, y)

    @property
    def right(self) -> float:
        """Return the right edge of the panel."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Return the lower edge of the panel."""
        return self.top + self.height

    def pixel(self, x: float, y: float) -> Pixel | None:
        """Return the pixel of a point; None where the point has no position on the axes."""
        across, up = self.x.fraction(x), self.y.fraction(y)
        if across is None or up is None:
            return None
        return self.left + across * self.width, self.top + (1 - up) * self.height

    def axes(self, x_label: str = "") -> Iterator[str]:
        """Draw the grid and ticks with their labels; the name of x stands at the right end, below."""
        for tick in _y_ticks(self.y, self.height):
            y = self.bottom - (self.y.fraction(tick.value) or 0.0) * self.height
            yield path([(self.left, y), (self.right, y)], "grid")
            yield text(self.left - 8, y + 4, _power(tick.label), anchor="end")
        yield from self._below(x_label)

    def _x_ticks(self) -> tuple[Tick, ...]:
        return self.x.ticks(max(int(self.width // 64), 3 if self.width >= 150 else 2))

    def _below(self, x_label: str) -> Iterator[str]:
        yield path([(self.left, self.bottom), (self.right, self.bottom)], "axis")
        free = 0.0  # a label that would touch the one before is left out
        for tick in self._x_ticks():
            x, label = self.left + (self.x.fraction(tick.value) or 0.0) * self.width, _power(tick.label)
            half = width_of(label, bold=False) / 2
            middle = min(x, self.right + RIGHT_MARGIN - half)
            yield path([(x, self.bottom), (x, self.bottom + 4)], "axis")
            if middle - half >= free:
                yield text(middle, self.bottom + 18, label, anchor="middle")
                free = middle + half + 4
        if x_label:
            shown = cut(clean(x_label), self.right, bold=False)
            yield text(self.right, self.bottom + 36, shown, anchor="end", full=clean(x_label))

    def across(self, x_label: str = "") -> Iterator[str]:
        """Draw the x axis alone, with its grid, for charts whose rows are named."""
        for tick in self._x_ticks():
            x = self.left + (self.x.fraction(tick.value) or 0.0) * self.width
            yield path([(x, self.top), (x, self.bottom)], "grid")
        yield from self._below(x_label)

    def upright(self, value: float, title: str) -> Iterator[str]:
        """Draw a dashed vertical line at a reference value."""
        at = self.x.fraction(value)
        if at is not None:
            x = self.left + at * self.width
            yield path([(x, self.top), (x, self.bottom)], "guide", title=title)

    def guide(self, value: float, title: str) -> Iterator[str]:
        """Draw a dashed horizontal line at a reference value."""
        y = self.level(value)
        if y is not None:
            yield path([(self.left, y), (self.right, y)], "guide", title=title)

    def line(self, line: Series, place: int, css: str = "") -> Iterator[str]:
        """Draw a line with its band, dots, and marks for values without a position on the axes."""
        colour = place % COLOURS
        if line.low:
            yield from self._band(line, colour)
        pixels = [self.pixel(x, y) for x, y in zip(line.x, line.y, strict=True)]
        for stretch in _stretches(pixels):
            if len(stretch) > 1:
                yield path(_thinned(stretch, self.width), f"line s{colour} {css}".rstrip(), title=line.label)
        yield from self._points(line, pixels, colour)
        yield from self._misfits(line, pixels, colour)

    def _band(self, line: Series, colour: int) -> Iterator[str]:
        low = [self.pixel(x, y) for x, y in zip(line.x, line.low, strict=True)]
        high = [self.pixel(x, y) for x, y in zip(line.x, line.high, strict=True)]
        both = [(a, b) if a and b else None for a, b in zip(low, high, strict=True)]
        for stretch in _stretches(both):
            lower, upper = ([pair[k] for pair in stretch] for k in (0, 1))
            edge = [*_thinned(lower, self.width), *reversed(_thinned(upper, self.width))]
            yield path(edge, f"band f{colour}", closed=True)

    def _points(self, line: Series, pixels: Sequence[Pixel | None], colour: int) -> Iterator[str]:
        alone = _alone(pixels)
        stride = math.ceil(len(pixels) * TOUCH_ROOM / self.width)
        dotted = len(pixels) <= min(MOST_DOTS, self.width / DOT_ROOM)
        for i, at in enumerate(pixels):
            visible = dotted or i in alone
            if at is None or (i % stride and not visible):
                continue
            css, radius = (f"dot f{colour}", 3.5) if visible else ("touch", 8.0)
            title = element("title", {}, escaped(self._note(line, i)))
            yield element("circle", {"class": css, "cx": at[0], "cy": at[1], "r": radius}, title)

    def _misfits(self, line: Series, pixels: Sequence[Pixel | None], colour: int) -> Iterator[str]:
        """Mark NaN and infinity by a cross at the upper edge, and zero on a log axis by a triangle at the lower one."""
        drawn: set[tuple[int, bool]] = set()
        for i, at in enumerate(pixels):
            across = self.x.fraction(line.x[i])
            if at is not None or across is None:
                continue
            x, zero = self.left + across * self.width, math.isfinite(line.y[i])
            if (int(x // 4), zero) in drawn:
                continue
            drawn.add((int(x // 4), zero))
            y = self.top + (self.height - 5 if zero else 5)
            shape = f"M{x - 4:.1f} {y - 4:.1f}h8l-4 7z" if zero else f"M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6"
            title = element("title", {}, escaped(self._note(line, i)))
            yield element("path", {"class": f"mark s{colour}", "d": shape}, title)

    def _note(self, line: Series, i: int) -> str:
        told = line.notes[i] if line.notes else f"{line.label} at {figure(line.x[i])}"
        return f"{told}: {figure(line.y[i])}"

    def names(self, named: Sequence[tuple[Name, float | None]]) -> Iterator[str]:
        """Draw names at the right, each at its given height (None: at any height)."""
        wanted = [(name, self.bottom if y is None else y) for name, y in named]
        return at_ends(wanted, self.right, self.top + 4, self.bottom)

    def end(self, line: Series) -> float | None:
        """Return the height in pixels where a line ends; None where none of its points has a position."""
        placed = [p for x, y in zip(line.x, line.y, strict=True) if (p := self.pixel(x, y))]
        return placed[-1][1] if placed else None

    def level(self, value: float) -> float | None:
        """Return the height of a value in pixels."""
        up = self.y.fraction(value)
        return None if up is None else self.bottom - up * self.height


def _power(label: str) -> str:
    mantissa, e, exponent = label.partition("e")
    if not e:
        return label
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return mantissa.replace("1", power) if mantissa in ("1", "-1") else f"{mantissa}·{power}"


def _stretches(points: Sequence[T | None]) -> Iterator[list[T]]:
    """Yield runs of points without a gap."""
    run: list[T] = []
    for point in points:
        if point is not None:
            run.append(point)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _alone(pixels: Sequence[Pixel | None]) -> set[int]:
    """Return the points with a gap on both sides, which no line would show."""
    padded = [None, *pixels, None]
    return {i for i, at in enumerate(pixels) if at and padded[i] is None and padded[i + 2] is None}


def _thinned(points: list[Pixel], width: float) -> list[Pixel]:
    """Reduce points to four per pixel across (first, lowest, highest, last), which look the same as all of them."""
    if len(points) <= 2 * width:
        return points
    columns: dict[int, list[Pixel]] = {}
    for point in points:
        columns.setdefault(int(point[0]), []).append(point)
    kept: list[Pixel] = []
    for column in columns.values():
        extremes = {column[0], min(column, key=lambda p: p[1]), max(column, key=lambda p: p[1]), column[-1]}
        kept.extend(point for point in dict.fromkeys(column) if point in extremes)
    return kept
