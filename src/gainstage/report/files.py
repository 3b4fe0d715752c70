"""Writes files such that no partly written file ever has the final name."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from gainstage.errors import InputError

__all__ = ["write_whole"]


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file; at any moment its name holds the complete old content or the complete new one.

    Raises:
        InputError: the path cannot be written.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise InputError(f"Cannot write {str(path)!r}: it is not a regular file. Name a file.")
    beside = target.with_name(f".gainstage-{secrets.token_hex(6)}.tmp")  # same directory: a rename there is atomic
    try:
        try:
            with beside.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"Cannot write {str(path)!r}: {error.strerror or error}.") from error
