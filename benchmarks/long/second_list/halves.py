"""The coin that parts the list, and the file that keeps what it fell on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

__all__ = ["HALVES", "Half", "coin", "frozen", "parted"]

Half = Literal["seen", "unseen"]
HALVES: tuple[Half, Half] = ("seen", "unseen")
SALT = "second list, 2026"
FILE = Path(__file__).parent / "frozen.json"


def coin(name: str) -> Half:
    """Decide by the first byte of a salted hash of the name.

    >>> coin("gpt-neox") == coin("gpt-neox")
    True
    """
    return HALVES[hashlib.sha256(f"{SALT}: {name}".encode()).digest()[0] % 2]


def parted(names: Iterable[str]) -> dict[Half, list[str]]:
    """Both halves, sorted by name."""
    whole = sorted(names)
    return {half: [name for name in whole if coin(name) == half] for half in HALVES}


def frozen() -> dict[Half, list[str]]:
    """The halves as they were frozen before any rule was changed."""
    found: dict[Half, list[str]] = json.loads(FILE.read_text(encoding="utf-8"))
    return found
