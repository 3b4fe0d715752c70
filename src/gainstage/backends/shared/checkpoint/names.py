"""The place of a checkpoint: the folder and stem of its files, and the largest size of one file."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from gainstage.errors import InputError

__all__ = ["Target", "bytes_of", "target_of"]

_SUFFIX = ".safetensors"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


class Target(NamedTuple):
    """The place of a checkpoint.

    Args:
        folder: that holds all its files.
        stem: of the names of its files.
    """

    folder: Path
    stem: str


def target_of(out: str | os.PathLike[str]) -> Target:
    """Reads the path of a checkpoint: a file ending in .safetensors, or a folder.

    Raises:
        InputError: another suffix, or a folder that does not exist or is a file.

    >>> target_of("weights.safetensors").stem
    'weights'
    """
    path = Path(out)
    if path.is_dir():
        return Target(path, "model")
    if path.suffix != _SUFFIX:
        raise InputError(f"A checkpoint is a file ending in {_SUFFIX}, or a folder that exists; received '{path}'.")
    if not path.parent.is_dir():
        raise InputError(f"'{path}' cannot be written: there is no folder '{path.parent}'.")
    return Target(path.parent, path.stem)


def bytes_of(size: int | str) -> int:
    """Reads a number of bytes, as an int or in the words of Hugging Face ("5GB", "200MB", "2GiB").

    Raises:
        InputError: it is not a positive number of bytes.

    >>> bytes_of("5GB"), bytes_of("1.5MiB"), bytes_of(1000)
    (5000000000, 1572864, 1000)
    """
    written = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]I?)?B?\s*", str(size).upper())
    found = int(float(written[1]) * _UNITS[written[2] or ""]) if written and not isinstance(size, bool) else 0
    if found < 1:
        raise InputError(f"The size of a file is a positive number of bytes, such as 5000000 or '5GB'; got {size!r}.")
    return found
