"""The one seam between records and their pictures: ``report`` registers renderers here when it is imported.

Records stay data: they know that they can be shown, not how.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Rendered", "register_renderer"]

_renderers: dict[tuple[type, str], Callable[[Any], str]] = {}


def register_renderer(kind: type, mime: str, renderer: Callable[[Any], str]) -> None:
    """Show records of ``kind`` as ``mime`` (``text/plain``, ``text/html``) with ``renderer``."""
    _renderers[kind, mime] = renderer


class Rendered:
    """A record that ``print`` and notebooks show through the registered renderers."""

    __slots__ = ()

    def __str__(self) -> str:
        renderer = _renderers.get((type(self), "text/plain"))
        return renderer(self) if renderer else repr(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {mime: renderer(self) for (kind, mime), renderer in _renderers.items() if kind is type(self)}
