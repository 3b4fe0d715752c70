"""The one seam between records and their pictures: ``report`` registers renderers here when it is imported.

Records stay data: they know that they can be shown, not how.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

__all__ = ["Rendered", "register_page", "register_renderer"]

_renderers: dict[tuple[type, str], Callable[[Any], str]] = {}
_pages: dict[type, Callable[[str | os.PathLike[str], Any], None]] = {}


def register_renderer(kind: type, mime: str, renderer: Callable[[Any], str]) -> None:
    """Show records of ``kind`` as ``mime`` (``text/plain``, ``text/html``) with ``renderer``."""
    _renderers[kind, mime] = renderer


def register_page(kind: type, writer: Callable[[str | os.PathLike[str], Any], None]) -> None:
    """Write pages of records of ``kind`` with ``writer``, which takes a path and the record."""
    _pages[kind] = writer


class Rendered:
    """A record that ``print`` and notebooks show, and that has a page, through what was registered."""

    __slots__ = ()

    def __str__(self) -> str:
        renderer = _renderers.get((type(self), "text/plain"))
        return renderer(self) if renderer else repr(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {mime: renderer(self) for (kind, mime), renderer in _renderers.items() if kind is type(self)}

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Write the record as one self-contained page: findings, pictures, every layer. It opens offline.

        ``gs.load`` reads the record back from the page.

        Raises:
            InputError: the path cannot be written. Nothing half-written is left there.
        """
        writer = _pages.get(type(self))
        if writer is None:
            raise TypeError(f"A {type(self).__name__} has no page, or gainstage.report was never imported.")
        writer(path, self)
