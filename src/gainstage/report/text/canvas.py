"""A grid of terminal cells for line charts, drawn with braille dots or with letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

__all__ = ["Canvas", "Point"]

Point = tuple[float, float]
"""Fractions of width and height, from the left and from below."""

BRAILLE = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # the bit of the dot at (row, column) within a cell


class Canvas:
    """Cells with a character each, and the line that each cell belongs to.

    Args:
        columns: number of cells across.
        rows: number of cells down.
        braille: whether a cell has 2 × 4 dots; otherwise it has one.
    """

    def __init__(self, columns: int, rows: int, *, braille: bool) -> None:
        self.columns, self.rows, self.braille = columns, rows, braille
        self._across, self._down = (2 * columns, 4 * rows) if braille else (columns, rows)
        self._bits = [[0] * columns for _ in range(rows)]
        self._signs: list[list[str]] = [[""] * columns for _ in range(rows)]
        self._owner = [[-1] * columns for _ in range(rows)]

    def draw(self, line: int, points: Sequence[Point | None], sign: str) -> None:
        """Connect neighbouring points; None interrupts the line.

        With dots, the sign is placed on the line at a few columns, different ones for every line. Without dots, the
        line consists of the sign.
        """
        dots = [None if point is None else self._dot(point) for point in points]
        cells: dict[int, int] = {}  # column of cells -> row, where the line can carry its sign
        for column, row in _connected(dots):
            cell_column, cell_row = (column // 2, row // 4) if self.braille else (column, row)
            self._owner[cell_row][cell_column] = line
            cells[cell_column] = cell_row
            if self.braille:
                self._bits[cell_row][cell_column] |= DOTS[row % 4][column % 2]
            else:
                self._signs[cell_row][cell_column] = sign
        if self.braille:
            self._mark(line, cells, sign)

    def _mark(self, line: int, cells: dict[int, int], sign: str) -> None:
        stride = max(self.columns // 4, 2)
        offset = stride * (2 * line + 1) // 8
        marked = [c for c in cells if c % stride == offset % stride] or list(cells)[-1:]
        for column in marked:
            self._signs[cells[column]][column] = sign
            self._owner[cells[column]][column] = line

    def _dot(self, point: Point) -> tuple[int, int]:
        across, up = point
        return round(across * (self._across - 1)), round((1 - up) * (self._down - 1))

    def row(self, row: int) -> Iterator[tuple[str, int]]:
        """Yield the characters of one row, each with the number of its line, or -1."""
        for bits, sign, owner in zip(self._bits[row], self._signs[row], self._owner[row], strict=True):
            yield sign or (chr(BRAILLE + bits) if bits else " "), owner


def _connected(dots: Sequence[tuple[int, int] | None]) -> Iterator[tuple[int, int]]:
    """Yield the dots, and straight lines between neighbouring dots."""
    before: tuple[int, int] | None = None
    for dot in dots:
        if dot is not None:
            yield from _straight(before or dot, dot)
        before = dot


def _straight(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for i in range(steps + 1):
        yield (
            start[0] + round(i * (end[0] - start[0]) / steps),
            start[1] + round(i * (end[1] - start[1]) / steps),
        )
