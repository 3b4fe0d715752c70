"""The first ``gs.initialize`` of a small model in a fresh process: with Numba, without it, and with kernels forced.

    python benchmarks/cold_start.py

Small weights never pay for compilation: a process that draws less than 2**24 elements does not import Numba. The rows
say what it would cost otherwise. Every figure is processor time of the call, imports of PyTorch and gainstage left out;
the median of several processes, run in turn, over the median of those without Numba.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from statistics import median

from _timing import row

RUNS = 5

CALL = """
import sys, time
{before}
import torch
from torch import nn
import gainstage as gs
gs.initialize
import gainstage.backends.torch
net = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
start = time.process_time()
{forced}
gs.initialize(net, "he_normal", seed=0)
print(time.process_time() - start, "numba" in sys.modules and sys.modules["numba"] is not None)
"""

WITHOUT = "sys.modules['numba'] = None  # as if it were not installed"
FORCED = """
from gainstage.streams import engine
engine._WORTH_LOADING = 0
"""


def seconds(cache: str, before: str = "", forced: str = "") -> tuple[float, bool]:
    """Return the seconds of the call in one fresh process, and whether the call imported Numba."""
    code = CALL.format(before=before, forced=forced)
    out = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"NUMBA_CACHE_DIR": cache}, check=True, capture_output=True,
        text=True,
    ).stdout.split()  # fmt: skip
    return float(out[0]), out[1] == "True"


def main() -> None:
    with tempfile.TemporaryDirectory() as warm:
        seconds(warm, forced=FORCED)  # compiles once
        times: dict[str, list[float]] = {"without": [], "as it is": [], "loaded": [], "compiled": []}
        for _ in range(RUNS):
            times["without"].append(seconds(warm, before=WITHOUT)[0])
            took, imported = seconds(warm)
            assert not imported, "a small model imported Numba"
            times["as it is"].append(took)
            times["loaded"].append(seconds(warm, forced=FORCED)[0])
        with tempfile.TemporaryDirectory() as cold:
            times["compiled"].append(seconds(cold, forced=FORCED)[0])
    base = median(times["without"])
    row("without Numba", f"{base * 1e3:.0f} ms", "for comparison")
    row("as it is, Numba installed", f"{median(times['as it is']) / base:.2f} x", "at most 1.1 x")
    row("kernels loaded from their cache all the same", f"{median(times['loaded']) / base:.1f} x", "for comparison")
    row("kernels compiled first", f"{times['compiled'][0] / base:.1f} x", "for comparison")


if __name__ == "__main__":
    main()
