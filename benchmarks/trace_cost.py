"""What tracing without memory costs: seconds for a ResNet-50, and memory as the weights grow."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import resource
import subprocess
import sys
import time

import torchmodels
from _timing import row

from gainstage.backends.torch import trace


def peak_growth(width: int) -> float:
    """MiB by which the peak memory of this process rises while a model of that width is built and traced."""
    model, inputs = torchmodels.wide_on_meta(8)
    trace(model, inputs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    trace(*torchmodels.wide_on_meta(width))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    if len(sys.argv) > 1:
        print(peak_growth(int(sys.argv[1])))
        return
    model, inputs = torchmodels.resnet50_on_meta()
    start = time.perf_counter()
    graph = trace(model, inputs)
    row(f"trace of ResNet-50 on meta, {len(graph.nodes)} nodes", f"{time.perf_counter() - start:.2f} s", "under 2 s")
    for width in (64, 1024, 16384):
        run = subprocess.run([sys.executable, __file__, str(width)], check=True, capture_output=True, text=True)
        weights = 40 * width * width * 4 / 2**20
        row(f"trace of 40 layers, {weights:,.0f} MiB of weights", f"+{float(run.stdout):.1f} MiB", "does not grow")


if __name__ == "__main__":
    main()
