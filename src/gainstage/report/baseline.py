"""Reads and writes baseline files, which list known findings, one per line, and are kept with the code."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gainstage.errors import InputError
from gainstage.records import Diagnosis, Known, Severity, known_findings
from gainstage.report.files import write_whole

__all__ = ["baseline_text", "read_baseline", "write_baseline"]

_HEAD = "# gainstage baseline: findings that were there before. `gainstage check --baseline` fails on others only.\n"


def baseline_text(diagnosis: Diagnosis) -> str:
    """Return the findings of a diagnosis as lines of code, severity and path, sorted so that versions compare well."""
    lines = (f"{k.code} {k.severity.value} {json.dumps(k.path, ensure_ascii=False)}" for k in known_findings(diagnosis))
    return _HEAD + "".join(f"{line}\n" for line in lines)


def write_baseline(path: str | os.PathLike[str], diagnosis: Diagnosis) -> None:
    """Write the findings of a diagnosis as a baseline.

    Raises:
        InputError: the path cannot be written, or holds a file that is not a baseline.
    """
    target = Path(path)
    if target.is_file():
        read_baseline(target)  # refuses to overwrite any other file
    write_whole(target, baseline_text(diagnosis))


def read_baseline(path: str | os.PathLike[str]) -> tuple[Known, ...]:
    """Read a baseline.

    Raises:
        InputError: the file cannot be read, or a line is not a finding.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise InputError(
            f"The baseline {str(path)!r} cannot be read: {why}. "
            f"Write one with: gainstage check MODEL --write-baseline {path}"
        ) from error
    lines = enumerate(text.splitlines(), start=1)
    return tuple(_known(line, n, path) for n, line in lines if line.strip() and not line.startswith("#"))


def _known(line: str, number: int, path: str | os.PathLike[str]) -> Known:
    try:
        code, severity, where = line.split(" ", 2)
        name = json.loads(where)
        if not isinstance(name, str):
            raise ValueError(where)
        return Known(code, Severity(severity), name)
    except ValueError:
        raise InputError(
            f"Line {number} of the baseline {str(path)!r} is not a finding: expected code, severity and quoted path "
            f'such as GS101 error "encoder.0"; received {line[:80]!r}.'
        ) from None
