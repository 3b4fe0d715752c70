"""What a watch costs, in whole training steps of the same model on the same batches.

    python benchmarks/watch_cost.py
    PYTHONPATH=folder python benchmarks/watch_cost.py     # beside wandb and torchmortem, installed there

Two copies of a model train in turn, step by step, one of them watched. Printed: the mean step of the watched one over
the mean step of the other, looks included, over a whole number of rhythms behind the first forty steps, which hold more
looks; and what the watch holds between steps, in percent of the weights, the model, its optimizer and the batch apart.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")

import torch
import torchmodels
from _timing import row
from torch import nn

import gainstage as gs

EVERY = 50
FIRST = 50
"""Steps before the count begins: those of the first looks."""

Watching = Callable[[nn.Module, torch.optim.Optimizer], Any]


@contextmanager
def ours(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder, "history.jsonl")
        with gs.watch(model, optimizer, every=EVERY, to=to, on_finding="collect") as watch:
            yield watch


@contextmanager
def weights_and_biases(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Any]:
    """``wandb.watch`` with its defaults but every=50, and a log at every step, without which it does nothing."""
    import wandb

    with tempfile.TemporaryDirectory() as folder:
        run = wandb.init(mode="offline", dir=folder)
        run.watch(model, log="all", log_freq=EVERY)
        hook = optimizer.register_step_post_hook(lambda *_: run.log({"step": 1}))
        yield None
        hook.remove()
        run.unwatch(model)
        run.finish()


@contextmanager
def mortem(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Any]:
    """torchmortem's ``Autopsy`` with its defaults, told of every step."""
    import torchmortem

    with torchmortem.Autopsy(model, optimizer=optimizer) as autopsy:
        hook = optimizer.register_step_post_hook(lambda *_: autopsy.step(loss=1.0))
        yield autopsy
        hook.remove()


PEERS: dict[str, tuple[str, Watching]] = {
    "wandb.watch, log='all'": ("wandb", weights_and_biases),
    "torchmortem.Autopsy": ("torchmortem", mortem),
}


def steps(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: list[dict[str, torch.Tensor]]
) -> Iterator[float]:
    """Train step by step, and give the seconds of each."""
    count = 0
    while True:
        batch = batches[count % len(batches)]
        start = time.process_time()
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
        yield time.process_time() - start
        count += 1


def measure(model: nn.Module, batch: dict[str, torch.Tensor], watching: Watching, rhythms: int) -> tuple[float, float]:
    """Seconds of a plain step, and of a watched one over it."""
    plain, watched = copy.deepcopy(model), copy.deepcopy(model)
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-4) for m in (plain, watched)]
    with watching(watched, optimizers[1]):
        ways = [steps(m, o, [batch]) for m, o in zip((plain, watched), optimizers, strict=True)]
        for _ in range(FIRST):
            for way in ways:
                next(way)
        spent = [0.0, 0.0]
        for count in range(rhythms * EVERY):
            for place in (0, 1) if count % 2 else (1, 0):
                spent[place] += next(ways[place])
    return spent[0] / (rhythms * EVERY), spent[1] / spent[0]


def held(model: nn.Module, batch: dict[str, torch.Tensor]) -> float:
    """Bytes of tensors that a watch adds to those of the training, over those of the weights."""
    model = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    way = steps(model, optimizer, [batch])
    next(way)
    before = tensors()
    with ours(model, optimizer):
        for _ in range(12):
            next(way)
        own = tensors() - before
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return own / weights


def tensors() -> int:
    """Bytes of all tensors in memory, each memory once."""
    gc.collect()
    storages = {}
    for item in gc.get_objects():
        with contextlib.suppress(Exception):
            if isinstance(item, torch.Tensor) and not item.is_meta:
                storages[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
    return sum(storages.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rhythms", type=int, default=2, help=f"times {EVERY} steps")
    asked = parser.parse_args()
    for name, (model, inputs) in {"small ResNet": torchmodels.resnet(), "small transformer": torchmodels.gpt()}.items():
        seconds, ratio = measure(model, inputs, ours, asked.rhythms)
        row(f"{name}: a step takes {seconds * 1e3:.0f} ms; gs.watch, every={EVERY}", f"{ratio:.3f} x", "at most 1.05 x")
        row(f"{name}: memory that the watch holds", f"{held(model, inputs):.1%} of the weights", "at most 3 %")
        for peer, (package, watching) in PEERS.items():
            if importlib.util.find_spec(package) is None:
                print(f"{peer}: not installed", file=sys.stderr)
                continue
            row(f"{name}: {peer}", f"{measure(model, inputs, watching, asked.rhythms)[1]:.3f} x", "for comparison")


if __name__ == "__main__":
    main()
