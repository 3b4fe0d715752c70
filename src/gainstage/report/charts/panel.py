"""One pair of axes: where a value lies, what is drawn around it, and how a line is drawn in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gainstage.report.charts.svg import COLOURS, element, escaped, path, text
from gainstage.report.placement import spread_apart
from gainstage.report.scale import Scale, Tick
from gainstage.report.series import Series
from gainstage.report.wording import clean, elide, figure

__all__ = ["CHARACTER", "Panel", "axis_width", "label_width"]

CHARACTER = 7.2  # pixels of a wide character at the size of labels: room is reserved for the worst case
LINE_HEIGHT = 15.0
LABEL_GAP = 20.0  # pixels on both sides of a direct label together
LONGEST_LABEL = 22  # characters of a direct label
MOST_TOUCHED = 240  # points of a line that answer to the pointer
MOST_DOTS = 40  # points of a line that are drawn as dots
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Pixel = tuple[float, float]
T = TypeVar("T")


def label_width(lines: Sequence[Series], width: float) -> float:
    """Pixels for direct labels at the right of a picture; hardly any for a single line, which the title names."""
    if len(lines) < 2:
        return 20.0
    longest = max(len(elide(clean(line.label), LONGEST_LABEL)) for line in lines)
    return min(LABEL_GAP + CHARACTER * longest, 0.4 * width)


def axis_width(y: Scale, height: float) -> float:
    """Pixels that the figures of a y axis of that height need at the left; the usual ones align from chart to chart."""
    return max(56.0, 16 + CHARACTER * max(len(_power(tick.label)) for tick in _y_ticks(y, height)))


def _y_ticks(y: Scale, height: float) -> tuple[Tick, ...]:
    return y.ticks(max(int(height // 36), 2))


@dataclass(frozen=True, slots=True)
class Panel:
    """A rectangle of pixels with a scale each way."""

    left: float
    top: float
    width: float
    height: float
    x: Scale
    y: Scale

    def pixel(self, x: float, y: float) -> Pixel | None:
        """Where a point lies; None where it has no place."""
        across, up = self.x.fraction(x), self.y.fraction(y)
        if across is None or up is None:
            return None
        return self.left + across * self.width, self.top + (1 - up) * self.height

    def axes(self, x_label: str = "") -> Iterator[str]:
        """Grid, ticks and their figures; the name of x stands at the right end, below."""
        bottom, right = self.top + self.height, self.left + self.width
        for tick in _y_ticks(self.y, self.height):
            y = bottom - (self.y.fraction(tick.value) or 0.0) * self.height
            yield path([(self.left, y), (right, y)], "grid")
            yield text(self.left - 8, y + 4, _power(tick.label), anchor="end")
        yield path([(self.left, bottom), (right, bottom)], "axis")
        for tick in self.x.ticks(max(int(self.width // 80), 2)):
            x = self.left + (self.x.fraction(tick.value) or 0.0) * self.width
            yield path([(x, bottom), (x, bottom + 4)], "axis")
            yield text(x, bottom + 18, _power(tick.label), anchor="middle")
        if x_label:
            yield text(right, bottom + 36, x_label, anchor="end")

    def line(self, line: Series, place: int, css: str = "") -> Iterator[str]:
        """A line with its band, dots, and marks for what has no place on the axes."""
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
            edge = [*(a for a, _ in stretch), *(b for _, b in reversed(stretch))]
            yield path(edge, f"band f{colour}", closed=True)

    def _points(self, line: Series, pixels: Sequence[Pixel | None], colour: int) -> Iterator[str]:
        alone = _alone(pixels)
        stride = math.ceil(len(pixels) / MOST_TOUCHED)
        for i, at in enumerate(pixels):
            visible = len(pixels) <= MOST_DOTS or i in alone
            if at is None or (i % stride and not visible):
                continue
            css, radius = (f"dot f{colour}", 3.5) if visible else ("touch", 5.0)
            title = element("title", {}, escaped(self._note(line, i)))
            yield element("circle", {"class": css, "cx": at[0], "cy": at[1], "r": radius}, title)

    def _misfits(self, line: Series, pixels: Sequence[Pixel | None], colour: int) -> Iterator[str]:
        """A cross at the upper edge for NaN and infinity, a triangle at the lower one for zero on a log axis."""
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

    def names(self, lines: Sequence[Series], colours: Sequence[int], room: float) -> Iterator[str]:
        """Each line's name beside its end, in its colour, none over another; a single line needs none.

        Args:
            lines: what is named.
            colours: of each.
            room: pixels at the right, as ``label_width`` gave them.
        """
        if len(lines) < 2:
            return
        ends = [self._end(line) for line in lines]
        places = spread_apart([y for _, y in ends], LINE_HEIGHT, self.top + 4, self.top + self.height)
        for line, colour, y in zip(lines, colours, places, strict=True):
            shown = elide(clean(line.label), min(round((room - LABEL_GAP) / CHARACTER), LONGEST_LABEL))
            yield text(
                self.left + self.width + LABEL_GAP / 2,
                y + 4,
                shown,
                f"name f{colour % COLOURS}",
                full=clean(line.label),
            )

    def _end(self, line: Series) -> Pixel:
        placed = [p for x, y in zip(line.x, line.y, strict=True) if (p := self.pixel(x, y))]
        return placed[-1] if placed else (self.left + self.width, self.top + self.height)


def _power(label: str) -> str:
    mantissa, e, exponent = label.partition("e")
    if not e:
        return label
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return power if mantissa == "1" else f"{mantissa}·{power}"


def _stretches(points: Sequence[T | None]) -> Iterator[list[T]]:
    """Runs of points without a gap."""
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
    """Points with a gap on both sides, which no line would show."""
    padded = [None, *pixels, None]
    return {i for i, at in enumerate(pixels) if at and padded[i] is None and padded[i + 2] is None}


def _thinned(points: list[Pixel], width: float) -> list[Pixel]:
    """At most four points a pixel across: first, lowest, highest and last look the same as all of them."""
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
