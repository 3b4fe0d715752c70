"""The one seam between records and what is made of them: rooms above register here how a record is shown and saved.

Records stay data: they know that they can be shown, saved and written as code, not how. ``report`` registers text,
pages and documents when it is imported; ``backends`` registers code.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

__all__ = [
    "Rendered", "code_of", "register_code", "register_document", "register_page", "register_renderer",
]  # fmt: skip

Path = str | os.PathLike[str]
Writer = Callable[[Path, Any], None]

_renderers: dict[tuple[type, str], Callable[[Any], str]] = {}
_pages: dict[type, Writer] = {}
_documents: dict[type, Writer] = {}
_codes: dict[type, Callable[[Any], str]] = {}


def register_renderer(kind: type, mime: str, renderer: Callable[[Any], str]) -> None:
    """Show records of ``kind`` as ``mime`` (``text/plain``, ``text/html``) with ``renderer``."""
    _renderers[kind, mime] = renderer


def register_page(kind: type, writer: Writer) -> None:
    """Write pages of records of ``kind`` with ``writer``, which takes a path and the record."""
    _pages[kind] = writer


def register_document(kind: type, writer: Writer) -> None:
    """Write JSON documents of records of ``kind`` with ``writer``, which takes a path and the record."""
    _documents[kind] = writer


def register_code(kind: type, renderer: Callable[[Any], str]) -> None:
    """Write records of ``kind`` as source code with ``renderer``."""
    _codes[kind] = renderer


def code_of(record: Any) -> str:
    """The record as source code, through what was registered."""
    renderer = _codes.get(type(record))
    if renderer is None:
        raise TypeError(f"A {type(record).__name__} has no code, or gainstage.backends was never imported.")
    return renderer(record)


class Rendered:
    """A record that ``print`` and notebooks show, and that is saved, through what was registered."""

    __slots__ = ()

    def __str__(self) -> str:
        renderer = _renderers.get((type(self), "text/plain"))
        return renderer(self) if renderer else repr(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {mime: renderer(self) for (kind, mime), renderer in _renderers.items() if kind is type(self)}

    def save(self, path: Path) -> None:
        """Write the record as one JSON document, which ``gs.load`` reads.

        Under its final name there is either the old content or all of the new.

        Raises:
            InputError: the path cannot be written.
        """
        _written(_documents, "document", path, self)

    def save_html(self, path: Path) -> None:
        """Write the record as one self-contained page: findings, pictures, every layer. It opens offline.

        ``gs.load`` reads the record back from the page.

        Raises:
            InputError: the path cannot be written. Nothing half-written is left there.
        """
        _written(_pages, "page", path, self)


def _written(writers: dict[type, Writer], what: str, path: Path, record: Any) -> None:
    writer = writers.get(type(record))
    if writer is None:
        raise TypeError(f"A {type(record).__name__} has no {what}, or gainstage.report was never imported.")
    writer(path, record)
