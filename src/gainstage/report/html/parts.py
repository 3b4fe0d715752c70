"""Pieces of a page. Everything that varies is text and passes through ``escaped``."""

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
        title: its head.
        kind: ``number`` stands to the right, ``name`` is never broken, ``prose`` is.
    """

    title: str
    kind: str = "name"


def heading(level: int, text: str, anchor: str = "") -> str:
    """A heading of that level."""
    return f"<h{level}{f' id={chr(34)}{anchor}{chr(34)}' if anchor else ''}>{escaped(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{escaped(text)}</p>"


def code(text: str) -> str:
    """Lines to copy, as they are."""
    return f"<pre><code>{chr(10).join(escaped(line) for line in text.splitlines())}</code></pre>"


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Terms with finished content."""
    return f"<dl>{''.join(f'<dt>{escaped(term)}</dt><dd>{content}</dd>' for term, content in pairs)}</dl>"


def card(kind: str, badge: str, title: str, *content: str) -> str:
    """A framed block whose kind is told by a word as well as by a colour."""
    told = f'<span class="badge">{escaped(badge)}</span>'
    return f'<section class="card {kind}"><h3>{told} {escaped(title)}</h3>{"".join(content)}</section>'


def drawn(draw: Callable[[float], str], *, square: bool = False) -> str:
    """A chart, drawn once for a wide window and once for a narrow one; the window shows one of them.

    Args:
        draw: from a width in pixels to SVG.
        square: whether the picture is about as high as wide, and so does not fill a wide window.
    """
    wide, narrow = (draw(width).replace(_OWN_STYLE, "").replace(_OWN_SIZE, "").rstrip() for width in (WIDE, NARROW))
    kind = ' class="square"' if square else ""
    return f'<figure{kind}><div class="at-wide">{wide}</div><div class="at-narrow">{narrow}</div></figure>'


def slide(setting: str, places: Sequence[str], start: int) -> str:
    """A slider over the places of the chart below it; hidden until the page's script makes it move."""
    told = escaped(" ".join(places))
    return (
        f'<p class="slide" hidden><label>{escaped(setting)} <input type="range" min="0" max="{len(places) - 1}" '
        f'value="{start}" data-places="{told}"></label> <output>{escaped(places[start])}</output></p>'
        f'<noscript><p class="soft">{escaped(setting)}: {escaped(places[start])}</p></noscript>'
    )


def folded_away(summary: str, *content: str) -> str:
    """Content behind a line that opens it."""
    return f"<details><summary>{escaped(summary)}</summary>{''.join(content)}</details>"


def same_in_figures(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> str:
    """The table that says the same as the chart above it."""
    return folded_away("The same in figures", table(columns, rows))


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, sortable: bool = False) -> str:
    """A real table. Numbers in its last columns are set to the right by one class of the whole table."""
    first = _first_of_last_numbers(columns)
    classes = [
        "" if column.kind == "name" or place >= first else f' class="{column.kind}"'
        for place, column in enumerate(columns, start=1)
    ]
    heads = "".join(f'<th scope="col"{css}>{escaped(c.title)}</th>' for c, css in zip(columns, classes, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{css}>{escaped(text)}' for text, css in zip(row, classes, strict=True))}" for row in rows
    )  # HTML lets rows and cells end by themselves: a quarter of a long table
    names = [name for name, given in (("sortable", sortable), (f"right-{first}", first <= len(columns))) if given]
    kind = f' class="{" ".join(names)}"' if names else ""
    return f'<div class="wide"><table{kind}><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _first_of_last_numbers(columns: Sequence[Column]) -> int:
    """The place, counted from one, after which all columns are numbers; beyond the last where none are."""
    first = len(columns) + 1
    while first > 1 and columns[first - 2].kind == "number":
        first -= 1
    return first
