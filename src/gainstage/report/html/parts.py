"""Pieces of a page. Everything that varies is text and passes through ``escaped``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gainstage.report.charts.svg import STYLE, escaped

__all__ = ["Cell", "card", "code", "definitions", "figure", "folded_away", "heading", "paragraph", "table"]

_OWN_STYLE = f"<style>{STYLE}</style>"
_OWN_SIZE = ' style="max-width:100%;height:auto"'


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: what it says, and the number it sorts by."""

    text: str
    value: float | None = None


def heading(level: int, text: str) -> str:
    """A heading of that level."""
    return f"<h{level}>{escaped(text)}</h{level}>"


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


def figure(svg: str) -> str:
    """A chart; its style stands once in the page's own sheet."""
    return f"<figure>{svg.replace(_OWN_STYLE, '').replace(_OWN_SIZE, '')}</figure>"


def folded_away(summary: str, *content: str) -> str:
    """Content behind a line that opens it."""
    return f"<details><summary>{escaped(summary)}</summary>{''.join(content)}</details>"


def table(head: Sequence[str], rows: Iterable[Sequence[Cell | str]], *, sortable: bool = False) -> str:
    """A real table; cells that hold a number are set to the right."""
    rows = list(rows)
    numeric = [isinstance(c, Cell) for c in rows[0]] if rows else []
    right = [' class="number"' if place < len(numeric) and numeric[place] else "" for place in range(len(head))]
    heads = "".join(f'<th scope="col"{css}>{escaped(title)}</th>' for title, css in zip(head, right, strict=True))
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    kind = ' class="sortable"' if sortable else ""
    return f'<div class="wide"><table{kind}><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: Cell | str) -> str:
    if isinstance(cell, str):
        return f"<td>{escaped(cell)}</td>"
    if cell.value is None:
        return f'<td class="number">{escaped(cell.text)}</td>'
    return f'<td class="number" data-value="{cell.value!r}">{escaped(cell.text)}</td>'
