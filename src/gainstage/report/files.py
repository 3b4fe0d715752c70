"""Writes files such that no partly written file ever has the final name."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from gainstage.errors import InputError

__all__ = ["is_own", "require_writable", "write_picture", "write_whole"]

_MARKS = {
    ".html": (b"application/vnd.gainstage+json",),
    ".svg": (b"<svg", b"drawn by gainstage"),
    ".ipynb": (b'"nbformat"', b"gainstage"),
    ".json": (b'"schema_version"', b'"record"'),
    ".safetensors": (b'"producer":"gainstage',),
}
"""What stands near the beginning of the files that gainstage writes, by ending."""

_NEAR = 1 << 20


def is_own(path: Path) -> bool:
    """Report whether gainstage wrote a file: a page, a picture, a notebook, a record, or weights with its mark."""
    marks = _MARKS.get(path.suffix.lower())
    if marks is None:
        return False
    try:
        with path.open("rb") as file:
            start = file.read(_NEAR)
            rest = start if path.suffix.lower() != ".html" else start + file.read()
    except OSError:
        return False
    return not start or all(mark in rest for mark in marks)


def require_writable(path: Path, *, force: bool = False, option: str = "") -> None:
    """Refuse a path before any work is done for it.

    Args:
        path: to be written.
        force: whether a file that gainstage did not write may be replaced.
        option: that the user can give for that; named in the message.

    Raises:
        InputError: no such directory, no leave to write there, or a file that something else wrote.
    """
    if not path.parent.is_dir():
        raise InputError(f"'{path}' cannot be written: there is no directory '{path.parent}'.")
    if path.is_dir():
        raise InputError(f"'{path}' cannot be written: it is a directory.")
    if not os.access(path.parent, os.W_OK | os.X_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise InputError(f"'{path}' cannot be written: permission denied.")
    if path.exists() and not force and not is_own(path):
        way = f", or give {option}" if option else ""
        raise InputError(f"'{path}' exists and is no file that gainstage wrote. Name another file, remove it{way}.")


def write_picture(path: str | os.PathLike[str], svg: str) -> None:
    """Write an SVG with the mark by which ``is_own`` knows it again.

    Raises:
        InputError: the path cannot be written.
    """
    write_whole(path, f"{svg.rstrip()}\n<!-- drawn by gainstage -->\n")


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
