"""Calibrated initialization against what it cannot do without: one forward pass, and drawing the weights.

Four parts: ``initialize(model, "auto", x=x)`` (a trace without memory, the plan, the draw, one calibrating pass) on
ResNet-50 and on a 12-layer transformer; the same with ``mend``, the default, which checks these healthy starts by one
forward and one backward pass and leaves them; planning a GPT-2 of 1.5 billion parameters on the meta device, with its
peak of memory; and memory of the calibrating pass against plain inference.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from _timing import row
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, ResNetConfig, ResNetForImageClassification

import gainstage as gs
from gainstage.backends.torch.writing.write import draw

RUNS = 3
Case = tuple[nn.Module, dict[str, torch.Tensor]]


def resnet50() -> Case:
    return ResNetForImageClassification(ResNetConfig(num_labels=1000)), {"pixel_values": torch.randn(8, 3, 224, 224)}


def transformer() -> Case:
    config = GPT2Config(
        n_layer=12, n_embd=384, n_head=6, vocab_size=8192, n_positions=256, bos_token_id=0, eos_token_id=0
    )
    config.use_cache = False
    return GPT2LMHeadModel(config), {"input_ids": torch.randint(0, 8192, (16, 256))}


def seconds(run: Callable[[], object]) -> float:
    """Of the processor, not of the clock: what else runs on a shared machine does not count."""
    start = time.process_time()
    run()
    return time.process_time() - start


def calibrated(name: str, case: Case) -> None:
    model, inputs = case
    plan = gs.plan(model, "auto", x=inputs)

    def forward() -> None:
        with torch.no_grad():
            model(**inputs)

    parts: dict[str, list[float]] = {"forward": [], "draw": [], "all": [], "mend": []}
    forward()
    for _ in range(RUNS):
        parts["forward"].append(seconds(forward))
        parts["draw"].append(
            seconds(lambda: [draw(a, plan.seed) for a in plan if a.bias is None and a.scheme != "keep"])
        )
        parts["mend"].append(seconds(lambda: gs.initialize(model, x=inputs)))
        parts["all"].append(seconds(lambda: gs.initialize(model, "auto", x=inputs)))
    needed = [f + d for f, d in zip(parts["forward"], parts["draw"], strict=True)]
    ratio = median(a / n for a, n in zip(parts["all"], needed, strict=True))
    told = ", ".join(f"{part} {median(times):.1f} s" for part, times in parts.items())
    row(f"initialize with auto / (forward + draw), {name}: {told}", f"{ratio:.2f} x", "<= 1.6 x")
    checked = median(m / f for m, f in zip(parts["mend"], parts["forward"], strict=True))
    row(f"initialize with mend / forward, {name}, which stays", f"{checked:.2f} x", "a check")


def plan_on_meta() -> dict[str, float]:
    """In a process of its own: what planning adds to the memory of the imports, and its time."""
    config = GPT2Config(n_layer=48, n_embd=1600, n_head=25)
    config.use_cache = False
    with torch.device("meta"):
        model = GPT2LMHeadModel(config)
    tokens = torch.zeros((2, 64), dtype=torch.long, device="meta")
    start = time.perf_counter()
    plan = gs.plan(model, "auto", x={"input_ids": tokens})
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    weights = sum(p.numel() for p in model.parameters())
    return {"seconds": took, "megabytes": peak, "weights": weights, "arrays": len(plan)}


def main() -> None:
    if "--meta" in sys.argv:
        print(json.dumps(plan_on_meta()))
        return
    out = subprocess.run([sys.executable, __file__, "--meta"], capture_output=True, text=True, check=True).stdout
    found = json.loads(out.splitlines()[-1])
    name = f"planning {found['weights'] / 1e9:.2f} billion weights on meta, {found['arrays']:.0f} arrays"
    row(name, f"{found['seconds']:.1f} s", "< 15 s")
    row("its peak of memory, imports included", f"{found['megabytes']:.0f} MB", "< 600 MB")
    calibrated("12-layer transformer", transformer())
    calibrated("ResNet-50", resnet50())


if __name__ == "__main__":
    main()
