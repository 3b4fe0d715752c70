"""What depth costs: time and memory of check, plan, predict and initialize, over those of a shallower network.

    python benchmarks/depth_cost.py                                        all networks, 10,000 layers included
    python benchmarks/depth_cost.py --networks chain --sizes 500 2000 --calls plan check --rounds 3
    KERAS_BACKEND=tensorflow python benchmarks/depth_cost.py --framework keras --networks chain --sizes 500 2000

Every figure is a ratio: cost at one size over cost at the size before, over the ratio of what there is to do. That is
the number of layers or blocks; where every block reads all earlier ones, the number of connections, which grows with
the square of the blocks. One is proportional. Widths are small, so that what is measured is the work around tensors
and not the tensors. Each measurement has a process of its own, after a warm-up; sizes take turns, so that a machine
that drifts drifts for all of them. Memory is the peak beyond what the process held before the call (Linux only).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from _timing import row

WIDTH, NEW = 8, 4  # units of a layer, and units that a block sets beside what it reads
SIZES = {"chain": (500, 2000, 10_000), "residual": (125, 500), "concatenating": (125, 500), "growing": (125, 500)}
CALLS = ("check", "plan", "predict", "initialize")
BOUND = 1.3


def work(network: str, size: int) -> int:
    """Return what the cost should be proportional to: layers, blocks, or connections between blocks."""
    return size * (size + 1) // 2 if network in ("concatenating", "growing") else size


def torch_network(network: str, size: int) -> Any:
    """Build a network of so many layers or blocks."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.outer(torch.relu(self.inner(x)))

    class Concatenating(nn.Module):
        """Every block reads the outputs of all earlier ones: set together anew each time, or grown block by block."""

        def __init__(self, *, growing: bool) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(WIDTH + NEW * i, NEW) for i in range(size))
            self.head, self.growing = nn.Linear(WIDTH + NEW * size, 4), growing

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = [x]
            for block in self.blocks:
                read = torch.cat(found, -1)
                found = [read, torch.relu(block(read))] if self.growing else [*found, torch.relu(block(read))]
            return self.head(torch.cat(found, -1))

    if network == "chain":
        return nn.Sequential(
            *(m for _ in range(size) for m in (nn.Linear(WIDTH, WIDTH), nn.Tanh())), nn.Linear(WIDTH, 4)
        )
    if network == "residual":
        return nn.Sequential(*(Block() for _ in range(size)), nn.Linear(WIDTH, 4))
    return Concatenating(growing=network == "growing")


def keras_network(network: str, size: int) -> Any:
    """Build the same network in Keras."""
    import keras
    from keras import layers

    x = inputs = keras.Input((WIDTH,))
    found = [x]
    for _ in range(size):
        if network == "chain":
            x = layers.Dense(WIDTH, activation="tanh")(x)
        elif network == "residual":
            x = layers.Add()([x, layers.Dense(WIDTH)(layers.Dense(WIDTH, activation="relu")(x))])
        else:
            read = layers.Concatenate()(found) if len(found) > 1 else x
            new = layers.Dense(NEW, activation="relu")(read)
            found = [read, new] if network == "growing" else [*found, new]
    x = x if network in ("chain", "residual") else layers.Concatenate()(found)
    return keras.Model(inputs, layers.Dense(4)(x))


def question(call: str, framework: str) -> Callable[[Any], Any]:
    """Return the call that is measured, as a function of a model."""
    import numpy as np

    import gainstage as gs

    generator = np.random.default_rng(0)
    x: Any = generator.standard_normal((16, WIDTH)).astype("float32")
    y: Any = generator.integers(0, 4, 16)
    if framework == "torch":
        import torch
        from torch.nn.functional import cross_entropy as loss

        torch.set_num_threads(1)
        x, y = torch.from_numpy(x), torch.from_numpy(y)
    else:
        import keras

        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    calls: dict[str, Callable[[Any], Any]] = {
        "check": lambda model: gs.check(model, x, y, loss=loss),
        "plan": lambda model: gs.plan(model, "auto", x=x),
        "predict": lambda model: gs.predict(model, x),
        "initialize": lambda model: gs.initialize(model, "auto", x=x),
    }
    return calls[call]


def resident(what: str) -> float:
    """Return megabytes of this process: ``VmRSS`` now, ``VmHWM`` at the peak since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def measure(framework: str, network: str, size: int, call: str) -> dict[str, float]:
    """Measure one call in this process: seconds of the processor, and megabytes."""
    build = torch_network if framework == "torch" else keras_network
    ask = question(call, framework)
    ask(build(network, 4))
    model = build(network, size)
    Path("/proc/self/clear_refs").write_text("5")
    before, start = resident("VmRSS"), time.process_time()
    ask(model)
    return {"seconds": time.process_time() - start, "megabytes": resident("VmHWM") - before}


def elsewhere(*arguments: str) -> dict[str, float]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--one", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def compare(framework: str, network: str, sizes: list[int], call: str, rounds: int) -> None:
    """Print one network's rows."""
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            found[size].append(elsewhere(framework, network, str(size), call))
    costs = {size: {kind: median(one[kind] for one in runs) for kind in runs[0]} for size, runs in found.items()}
    for small, large in pairwise(sizes):
        ratio = work(network, large) / work(network, small)
        for kind, unit in (("seconds", "s"), ("megabytes", "MB")):
            one, other = costs[small][kind], costs[large][kind]
            name = f"{call} {network} {small} to {large}: {one:.1f} to {other:.1f} {unit}"
            row(name, f"{other / one / ratio:.2f} of proportional", f"<= {BOUND}")


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        framework, network, size, call = sys.argv[2:]
        print(json.dumps(measure(framework, network, int(size), call)))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--framework", choices=("torch", "keras"), default="torch")
    parser.add_argument("--networks", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--sizes", nargs="+", type=int)
    parser.add_argument("--calls", nargs="+", choices=CALLS, default=list(CALLS))
    parser.add_argument("--rounds", type=int, default=1)
    asked = parser.parse_args()
    for network in asked.networks:
        for call in asked.calls:
            compare(asked.framework, network, asked.sizes or list(SIZES[network]), call, asked.rounds)


if __name__ == "__main__":
    main()
