"""Collects one page of terminal text (prose, fields, tables, code) before anything is printed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gainstage.report.wording import clean, elide, to_ascii

__all__ = ["Column", "Page", "Part"]

Part = str | tuple[str, str]
"""A piece of a line: a text, or a text with its style."""

NARROWEST, WIDEST = 40, 200
NARROWEST_COLUMN = 20
LABEL = 10  # cells of a field's label
MEASURE = 110  # prose wider than this is hard to read
LONGEST_WORD = 60  # of prose: a longer word is a name and is cut in the middle


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; ``flexible`` columns are shortened when the page is narrow."""

    title: str
    justify: Literal["left", "right"] = "left"
    flexible: bool = False


@dataclass(frozen=True, slots=True)
class _Verbatim:
    text: Text


class Page:
    """Collects blocks of text. Every string is cleaned, and converted to ASCII where the terminal has no Unicode.

    Args:
        width: cells per line, limited to 40 to 200.
        unicode: whether characters beyond ASCII can be printed.
    """

    def __init__(self, width: int, *, unicode: bool = True) -> None:
        self.width = max(NARROWEST, min(width, WIDEST))
        self.unicode = unicode
        self._blocks: list[RenderableType | _Verbatim] = []

    def words(self, text: str) -> str:
        """Return prose as it can be printed here."""
        return self._printable(re.sub(rf"\S{{{LONGEST_WORD + 1},}}", lambda m: elide(m[0], LONGEST_WORD), clean(text)))

    def name(self, text: str, limit: int) -> str:
        """Return a name in at most ``limit`` cells."""
        return self._printable(elide(clean(text), limit))

    def _printable(self, text: str) -> str:
        return text if self.unicode else to_ascii(text)

    def blank(self) -> None:
        """Add an empty line."""
        self._blocks.append(Text(""))

    def line(self, *parts: Part) -> None:
        """Add a paragraph, wrapped between words."""
        self._blocks.append(self._assembled(parts))

    def field(self, label: str, *parts: Part, style: str = "dim", indent: int = 2) -> None:
        """Add a label with a text beside it, wrapped below the text's first column."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=indent + LABEL, no_wrap=True)
        grid.add_column(max_width=MEASURE, overflow="fold")
        grid.add_row(Text(" " * indent + self._printable(label), style), self._assembled(parts))
        self._blocks.append(grid)

    @property
    def field_width(self) -> int:
        """Return the number of cells for the text of a field."""
        return min(self.width - LABEL - 4, MEASURE)

    def code(self, code: str, *, indent: int = LABEL + 4) -> None:
        """Add lines of code: indented, never wrapped, and without other text between them."""
        for line in code.expandtabs(4).splitlines():
            self._blocks.append(_Verbatim(Text(" " * indent + self._printable(clean(line)), "bold")))

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[Part]]) -> None:
        """Add a table of single-line cells, whose first column holds names.

        Flexible columns are cut in the middle where the page is narrow. Where that is not enough, a row takes two
        lines: its name, and the other cells below.
        """
        texts = [[self._assembled([cell]) for cell in row] for row in rows]
        widths = [max([len(c.title), *(row[i].cell_len for row in texts)]) for i, c in enumerate(columns)]
        excess = sum(widths) + 2 * (len(widths) - 1) - self.width
        for i in sorted((i for i, c in enumerate(columns) if c.flexible), key=lambda i: -widths[i]):
            given = min(max(excess, 0), max(widths[i] - NARROWEST_COLUMN, 0))
            widths[i], excess = widths[i] - given, excess - given
        if excess > 0:
            self._stacked(columns, texts)
            return
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for column, width in zip(columns, widths, strict=True):
            table.add_column(column.title, justify=column.justify, width=width, no_wrap=True, overflow="crop")
        for row in texts:
            table.add_row(*(self._fitted(cell, width) for cell, width in zip(row, widths, strict=True)))
        self._blocks.append(table)

    def _stacked(self, columns: Sequence[Column], rows: list[list[Text]]) -> None:
        self.line((", ".join(column.title for column in columns), "dim"))
        for first, *others in rows:
            self._blocks.append(self._fitted(first, self.width))
            rest = Text("  ", "dim").join(cell for cell in others if cell.plain)
            self._blocks.append(Padding(rest, (0, 0, 0, 4)))

    def _fitted(self, cell: Text, width: int) -> Text:
        return cell if cell.cell_len <= width else Text(self._printable(elide(cell.plain, width)), cell.style)

    def verbatim(self, text: Text) -> None:
        """Add a finished line, which is printed unchanged."""
        self._blocks.append(_Verbatim(text))

    def _assembled(self, parts: Iterable[Part]) -> Text:
        text = Text()
        for part in parts:
            content, style = (part, "") if isinstance(part, str) else part
            text.append(self._printable(clean(content)), style)
        return text

    def print_to(self, console: Console) -> None:
        """Print all blocks in order."""
        for block in self._blocks:
            if isinstance(block, _Verbatim):
                console.print(block.text, soft_wrap=True, highlight=False)
            else:
                console.print(block, width=self.width, highlight=False)
