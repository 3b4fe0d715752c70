"""All cases, by name, and the halves that a coin put them in."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from functools import cache
from pathlib import Path

from exam.case import REGISTER, Entry

__all__ = ["FILES", "SPLITS", "catalogue", "digest", "halves"]

HERE = Path(__file__).parent
SPLITS = {1: HERE / "split.json", 2: HERE / "split_wave2.json"}
_FIRST = sorted(
    [*HERE.glob("sick/*.py"), *HERE.glob("healthy/*.py"), *HERE.glob("in_keras/*.py"), HERE / "problems.py"]
)
FILES = {1: _FIRST, 2: sorted(HERE.glob("wave2/*.py"))}


@cache
def catalogue() -> dict[str, Entry]:
    """Every case of the exam, sorted by name; Keras is imported only when one of its cases is built."""
    for file in (*FILES[1], *FILES[2]):
        if file.stem not in ("__init__", "problems"):
            importlib.import_module(f"exam.{file.parent.name}.{file.stem}")
    return dict(sorted(REGISTER.items()))


def digest(wave: int) -> str:
    """Hash of the source of all cases of a wave: a change of a frozen case shows here."""
    joined = hashlib.sha256()
    for file in FILES[wave]:
        joined.update(file.relative_to(HERE).as_posix().encode())
        joined.update(file.read_bytes())
    return joined.hexdigest()


DISCLOSED = frozenset({"relu_on_a_table_of_zeros"})
"""Cases that the coin put in the unseen half, and that someone who worked on the rules has read since."""


def halves() -> dict[str, str]:
    """Return the half of every case by name: as frozen, but what was read since is seen."""
    frozen: dict[str, str] = {}
    for split in SPLITS.values():
        frozen |= json.loads(split.read_text(encoding="utf-8"))["halves"]
    return frozen | dict.fromkeys(DISCLOSED, "seen")


def write(wave: int) -> None:
    """Freeze the split of a wave and the hash of its cases; done once, when the wave was written."""
    coins = {name: entry.coin for name, entry in catalogue().items() if entry.wave == wave}
    record = {"cases": digest(wave), "halves": coins}
    SPLITS[wave].write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(int(sys.argv[1]))
