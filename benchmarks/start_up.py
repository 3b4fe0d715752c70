"""How long the commands take that need no framework."""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from time import perf_counter

from _timing import row


def seconds(*arguments: str, runs: int = 9) -> float:
    """The median wall time of one whole process."""
    times = []
    for _ in range(runs):
        start = perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(perf_counter() - start)
    return median(times)


def main() -> None:
    bare = seconds("-c", "pass")
    row("python -c pass", f"{bare * 1e3:.0f} ms", "")
    for command in (["--help"], ["--version"], ["rule"], ["rule", "GS201"], ["gain", "gelu"]):
        row(f"gainstage {' '.join(command)}", f"{seconds('-m', 'gainstage', *command) * 1e3:.0f} ms", "under 200 ms")
    torch = seconds("-c", "import torch", runs=3)
    row("python -c 'import torch'", f"{torch * 1e3:.0f} ms", "for comparison")


if __name__ == "__main__":
    main()
