"""All cases, by name, and the halves that a coin put them in."""

from __future__ import annotations

import hashlib
import importlib
import json
from functools import cache
from pathlib import Path

from exam.case import REGISTER, Entry

__all__ = ["FILES", "SPLIT", "catalogue", "digest", "halves"]

HERE = Path(__file__).parent
SPLIT = HERE / "split.json"
FILES = sorted([*HERE.glob("sick/*.py"), *HERE.glob("healthy/*.py"), *HERE.glob("in_keras/*.py"), HERE / "problems.py"])


@cache
def catalogue() -> dict[str, Entry]:
    """Every case of the exam, sorted by name; Keras is imported only when one of its cases is built."""
    for file in FILES:
        if file.stem not in ("__init__", "problems"):
            importlib.import_module(f"exam.{file.parent.name}.{file.stem}")
    return dict(sorted(REGISTER.items()))


def digest() -> str:
    """Hash of the source of all cases: a change of a frozen case shows here."""
    joined = hashlib.sha256()
    for file in FILES:
        joined.update(file.relative_to(HERE).as_posix().encode())
        joined.update(file.read_bytes())
    return joined.hexdigest()


DISCLOSED = frozenset({"relu_on_a_table_of_zeros"})
"""Cases that the coin put in the unseen half, and that someone who worked on the rules has read since."""


def halves() -> dict[str, str]:
    """Return the half of every case by name: as frozen, but what was read since is seen."""
    frozen = json.loads(SPLIT.read_text(encoding="utf-8"))["halves"]
    return frozen | dict.fromkeys(DISCLOSED, "seen")


def write() -> None:
    """Freeze the split and the hash of the cases; done once, when the exam was written."""
    record = {"cases": digest(), "halves": {name: entry.coin for name, entry in catalogue().items()}}
    SPLIT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
