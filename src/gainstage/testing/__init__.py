"""Assertions for tests of models: that a start is healthy, and that it is the start it was.

``pytest --gainstage-update`` writes golden files anew; the plugin that knows this option imports nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gainstage.testing.health import assert_healthy
    from gainstage.testing.starts import assert_start

__all__ = ["assert_healthy", "assert_start"]

_HOMES = {"assert_healthy": "health", "assert_start": "starts"}


def __getattr__(name: str) -> Any:
    """Import an assertion when it is first asked for: the plugin of pytest is a module of this package."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gainstage.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f"gainstage.testing.{_HOMES[name]}"), name)
