"""Builds the elements of a page. Every variable text is escaped by ``escaped``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gainstage.report.charts.svg import STYLE, escaped

__all__ = [
    "NARROW", "WIDE", "Column", "card", "code", "definitions", "drawn", "folded_away", "heading", "paragraph",
    "same_in_figures", "slide", "table",
]  # fmt: skip

WIDE, NARROW = 920.0, 360.0  # pixels for which every chart is drawn twice: text keeps its size on a phone

_OWN_STYLE = f"<style>{STYLE}</style>"
_OWN_SIZE = ' style="max-width:100%;height:auto"'


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        title: heading of the column.
        kind: ``number`` is aligned right, ``name`` is never wrapped, ``prose`` is.
    """

    title: str
    kind: str = "name"


def heading(level: int, text: str, anchor: str = "") -> str:
    """Return a heading of that level."""
    return f"<h{level}{f' id={chr(34)}{anchor}{chr(34)}' if anchor else ''}>{escaped(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{escaped(text)}</p>"


def code(text: str) -> str:
    """Return lines of code, unchanged."""
    return f"<pre><code>{chr(10).join(escaped(line) for line in text.splitlines())}</code></pre>"


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Return a list of terms with finished content."""
    return f"<dl>{''.join(f'<dt>{escaped(term)}</dt><dd>{content}</dd>' for term, content in pairs)}</dl>"


def card(kind: str, badge: str, title: str, *content: str) -> str:
    """Return a framed block whose kind is given by a word as well as by a colour."""
    told = f'<span class="badge">{escaped(badge)}</span>'
    return f'<section class="card {kind}"><h3>{told} {escaped(title)}</h3>{"".join(content)}</section>'


def drawn(draw: Callable[[float], str], *, square: bool = False) -> str:
    """Return a chart drawn for a wide and for a narrow window, of which the page shows the one that fits.

    Args:
        draw: a function from a width in pixels to SVG.
        square: whether the chart is about as high as wide, so that it does not fill a wide window.
    """
    wide, narrow = (draw(width).replace(_OWN_STYLE, "").replace(_OWN_SIZE, "").rstrip() for width in (WIDE, NARROW))
    kind = ' class="square"' if square else ""
    return f'<figure{kind}><div class="at-wide">{wide}</div><div class="at-narrow">{narrow}</div></figure>'


def slide(setting: str, places: Sequence[str], start: int) -> str:
    """Return a slider over the positions of the chart below; it is hidden unless the page's script runs."""
    told = escaped(" ".join(places))
    return (
        f'<p class="slide" hidden><label>{escaped(setting)} <input type="range" min="0" max="{len(places) - 1}" '
        f'value="{start}" data-places="{told}"></label> <output>{escaped(places[start])}</output></p>'
        f'<noscript><p class="soft">{escaped(setting)}: {escaped(places[start])}</p></noscript>'
    )


def folded_away(summary: str, *content: str) -> str:
    """Return content that is hidden until its summary line is opened."""
    return f"<details><summary>{escaped(summary)}</summary>{''.join(content)}</details>"


def same_in_figures(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with the data of the chart above."""
    return folded_away("The same in figures", table(columns, rows))


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, sortable: bool = False) -> str:
    """Return a table. Numbers in the last columns are aligned right by one class of the whole table."""
    first = _first_of_last_numbers(columns)
    classes = [
        "" if column.kind == "name" or place >= first else f' class="{column.kind}"'
        for place, column in enumerate(columns, start=1)
    ]
    heads = "".join(f'<th scope="col"{css}>{escaped(c.title)}</th>' for c, css in zip(columns, classes, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{css}>{escaped(text)}' for text, css in zip(row, classes, strict=True))}" for row in rows
    )  # HTML closes rows and cells implicitly, which saves a quarter of a long table
    names = [name for name, given in (("sortable", sortable), (f"right-{first}", first <= len(columns))) if given]
    kind = f' class="{" ".join(names)}"' if names else ""
    return f'<div class="wide"><table{kind}><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _first_of_last_numbers(columns: Sequence[Column]) -> int:
    """Return the number, counted from 1, of the first column after which all hold numbers."""
    first = len(columns) + 1
    while first > 1 and columns[first - 2].kind == "number":
        first -= 1
    return first
