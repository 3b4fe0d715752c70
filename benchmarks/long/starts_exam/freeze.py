"""Write ``frozen.json``: the half of every case and the hashes of the files, once, before anything was measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from starts_exam import FROZEN, coin, keras_cases, source_hashes, torch_cases


def main() -> None:
    names = [case.name for case in (*torch_cases(), *keras_cases())]
    frozen = {"halves": {name: coin(name) for name in names}, "sources": source_hashes()}
    FROZEN.write_text(json.dumps(frozen, indent=1) + "\n")


if __name__ == "__main__":
    main()
