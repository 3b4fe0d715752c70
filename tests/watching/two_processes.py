"""Two processes of data-parallel training on gloo: each trains without and with a watch, and saves what it has.

python two_processes.py FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import gainstage as gs

STEPS, COUNT = 20, 2
X, Y = torch.randn(64, 8, generator=torch.Generator().manual_seed(1)), torch.arange(64) % 3


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def train(called: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> None:
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(called(x), y).backward()
        optimizer.step()


def main(folder: Path, rank: int) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=COUNT)
    x, y = X[rank::COUNT], Y[rank::COUNT]
    kept = {}
    for how in ("plain", "watched"):
        model = network()
        called = DistributedDataParallel(model)
        optimizer = torch.optim.SGD(called.parameters(), 0.1, momentum=0.9)
        if how == "watched":
            with gs.watch(called, optimizer, to=folder / "history.jsonl", on_finding="collect") as watch:
                train(called, optimizer, x, y)
            kept |= {"history": gs.dumps(watch.history), "path": str(watch.path)}
        else:
            train(called, optimizer, x, y)
        kept[how] = model.state_dict()
    torch.save(kept, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    child = os.fork()  # behind the imports, which cost most
    main(Path(sys.argv[1]), rank=int(child == 0))
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
