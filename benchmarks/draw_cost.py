"""How fast weights are drawn, beside PyTorch, JAX and NumPy on the same cores in the same run.

    python benchmarks/draw_cost.py              # on as many threads as OMP_NUM_THREADS says, or all cores
    python benchmarks/draw_cost.py --threads 1
    python benchmarks/draw_cost.py --threads 1 --processor-time     # on a machine that does other things as well

Each row is the median over pairs of (peer's time ÷ ours), the two run one after the other. Rows without a target are
for comparison.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import time
from collections.abc import Callable

import numpy as np
import torch
from _timing import paired, row
from torch import nn

from gainstage.graph import KernelShape
from gainstage.schemes import get
from gainstage.streams import Distribution, Normal, Stream, Uniform

COUNT = 1 << 24  # elements: 64 MB in float32, beyond every cache
STREAM = Stream(0, "blocks.0.weight")
TRUNCATED = Normal(0.02, bound=2)
Call = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, help="for us and for PyTorch; as OMP_NUM_THREADS where not given")
    parser.add_argument("--runs", type=int, default=9, help="pairs for each row")
    parser.add_argument("--processor-time", action="store_true", help="instead of wall time; for one thread only")
    asked = parser.parse_args()
    if asked.processor_time and asked.threads != 1:
        parser.error("--processor-time adds up the threads, so it needs --threads 1")
    clock = time.process_time if asked.processor_time else time.perf_counter
    if asked.threads:
        os.environ["OMP_NUM_THREADS"] = str(asked.threads)
        torch.set_num_threads(asked.threads)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s)")
    for name, peer, ours, target in rows(torch.get_num_threads()):
        seconds, ratio = paired(peer, ours, asked.runs, clock)
        rate = COUNT / (seconds * ratio) / 1e6
        row(name, f"{1 / ratio:.1f} x  ({rate:.0f} M/s)", target)
    orthogonal(asked.runs, clock)


def rows(threads: int) -> list[tuple[str, Call, Call, str]]:
    """Each row's name, peer, our draw and target."""
    wide, narrow = torch.empty(COUNT), torch.empty(COUNT, dtype=torch.bfloat16)
    two = threads > 1
    found: list[tuple[str, Call, Call, str]] = [
        ("normal, float32: Tensor.normal_", wide.normal_, drawn(wide, Normal(0.02)), f"{3 if two else 1.5} x"),
        (
            "truncated normal: trunc_normal_",
            lambda: nn.init.trunc_normal_(wide, std=0.02, a=-0.04, b=0.04),
            drawn(wide, TRUNCATED),
            "40 x",
        ),
        ("uniform, float32: Tensor.uniform_", wide.uniform_, drawn(wide, Uniform(-1, 1)), "1.5 x"),
        ("normal, bfloat16: Tensor.normal_", narrow.normal_, drawn(narrow, Normal(0.02)), "3 x"),
        ("normal, float32: NumPy's default_rng", numpy_normal(wide), drawn(wide, Normal(0.02)), ""),
        ("normal, float32: Tensor.fill_", lambda: wide.fill_(1.0), drawn(wide, Normal(0.02)), ""),
    ]
    if importlib.util.find_spec("jax"):
        found.append(("normal, float32: jax.random.normal", jax_normal(), drawn(wide, Normal(0.02)), ""))
    return found


def drawn(tensor: torch.Tensor, distribution: Distribution) -> Call:
    """Our draw into a tensor's memory."""
    bfloat16 = tensor.dtype == torch.bfloat16
    memory = tensor.view(torch.uint16).numpy() if bfloat16 else tensor.numpy()
    return lambda: STREAM.fill(memory, distribution, bfloat16=bfloat16)


def numpy_normal(tensor: torch.Tensor) -> Call:
    generator, memory = np.random.default_rng(0), tensor.numpy()
    return lambda: generator.standard_normal(out=memory, dtype=np.float32)


def jax_normal() -> Call:
    import jax

    key = jax.random.key(0)
    return lambda: jax.random.normal(key, (COUNT,)).block_until_ready()


def orthogonal(runs: int, clock: Callable[[], float]) -> None:
    tensor, kernel, scheme = torch.empty(2048, 2048), KernelShape(2048, 2048), get("orthogonal")
    seconds, ratio = paired(
        lambda: nn.init.orthogonal_(tensor), lambda: scheme.draw(kernel, 1.0, STREAM), min(runs, 5), clock
    )
    row(f"orthogonal 2048²: orthogonal_ takes {seconds * 1e3:.0f} ms", f"{ratio:.2f} of its time", "at most 1.2")


if __name__ == "__main__":
    main()
