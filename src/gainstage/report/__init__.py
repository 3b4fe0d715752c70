"""Renders records as terminal text, JSON, charts, pages, and formats for other programs.

Importing this package registers the renderers: ``print`` then shows text, and a notebook shows tables and a chart.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from gainstage.records import (
    Answer,
    Answers,
    Comparison,
    Diagnosis,
    Evidence,
    Fixed,
    Formats,
    History,
    Plan,
    Preflight,
    Profile,
    Scaling,
    register_document,
    register_page,
    register_renderer,
)
from gainstage.report.json import KINDS, dumps, load, loads, save
from gainstage.report.text import Shown, print_to, render

__all__ = ["dumps", "load", "loads", "print_to", "render", "save"]


def _plain(record: Shown) -> str:
    """Render a record for ``print``, which fails on characters that the terminal's encoding lacks."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return render(record, unicode=encoding.lower().startswith("utf")).rstrip("\n")


_SHOWN = (Answer, Answers, Comparison, Diagnosis, Evidence, Fixed, Formats, History, Plan, Preflight, Profile, Scaling)
for _kind in _SHOWN:
    register_renderer(_kind, "text/plain", _plain)


def _notebook(kind: str) -> Callable[[Any], str]:
    """Return a function that renders a record as HTML; charts are imported when it is first called."""

    def show(record: Any) -> str:
        from gainstage.report import notebook

        html: str = getattr(notebook, f"{kind}_html")(record)
        return html

    return show


for _kind in _SHOWN:
    register_renderer(_kind, "text/html", _notebook(_kind.__name__.lower()))


def _save_page(path: str | os.PathLike[str], record: Any) -> None:
    """Write the page of a record; pages are imported when this is first called."""
    from gainstage.report.html import save_html

    save_html(path, record)


for _saved in KINDS.values():
    register_document(_saved, save)
    register_page(_saved, _save_page)
