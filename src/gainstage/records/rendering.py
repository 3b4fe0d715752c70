"""Registries through which packages above ``records`` define how a record is shown, saved and written as code.

Records stay data: they have the methods to be shown, saved and written as code, but not the implementations. ``report``
registers text, pages and documents when it is imported; ``backends`` registers code.
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
    """Register a function that shows records of ``kind`` as ``mime`` (``text/plain``, ``text/html``)."""
    _renderers[kind, mime] = renderer


def register_page(kind: type, writer: Writer) -> None:
    """Register a function that writes pages of records of ``kind``; the function takes a path and the record."""
    _pages[kind] = writer


def register_document(kind: type, writer: Writer) -> None:
    """Register a function that writes JSON documents of records of ``kind``; it takes a path and the record."""
    _documents[kind] = writer


def register_code(kind: type, renderer: Callable[[Any], str]) -> None:
    """Register a function that writes records of ``kind`` as source code."""
    _codes[kind] = renderer


def code_of(record: Any) -> str:
    """Return the record as source code, from the registered function."""
    renderer = _codes.get(type(record))
    if renderer is None:
        raise TypeError(f"A {type(record).__name__} has no code, or gainstage.backends was never imported.")
    return renderer(record)


class Rendered:
    """A record that can be printed, shown in notebooks and saved, by the registered functions."""

    __slots__ = ()

    def __str__(self) -> str:
        renderer = _renderers.get((type(self), "text/plain"))
        return renderer(self) if renderer else repr(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {mime: renderer(self) for (kind, mime), renderer in _renderers.items() if kind is type(self)}

    def save(self, path: Path) -> None:
        """Write the record as one JSON document, which ``gs.load`` reads.

        The file is replaced as a whole: at any moment, its name holds the complete old content or the complete new one.

        Raises:
            InputError: the path cannot be written.
        """
        _written(_documents, "document", path, self)

    def save_html(self, path: Path) -> None:
        """Write the record as one self-contained page: findings, pictures, every layer. It opens offline.

        ``gs.load`` reads the record back from the page.

        Raises:
            InputError: the path cannot be written. No partly written file is left behind.
        """
        _written(_pages, "page", path, self)


def _written(writers: dict[type, Writer], what: str, path: Path, record: Any) -> None:
    writer = writers.get(type(record))
    if writer is None:
        raise TypeError(f"A {type(record).__name__} has no {what}, or gainstage.report was never imported.")
    writer(path, record)
