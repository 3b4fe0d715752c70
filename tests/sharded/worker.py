"""One process of a sharded model: applies a plan, gathers every parameter and compares it with the expected one.

Started by ``test_sharded.py`` as ``worker.py FOLDER RANK PROCESSES CASE…``; exits with an error where anything differs.
"""

import contextlib
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import gainstage as gs
from gainstage.report.json import loads


class Attention(nn.Module):
    """A packed projection, as in GPT-2, and what follows it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.packed, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.packed(x).chunk(3, -1)
        return self.out(nn.functional.scaled_dot_product_attention(q, k, v))


class Model(nn.Module):
    """Uneven sizes, more processes than rows, an embedding with a padding row, convolutions of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 12, padding_idx=9)
        self.attention = Attention(12)
        self.wide, self.narrow = nn.Linear(12, 30), nn.Linear(30, 12)
        self.up = nn.ConvTranspose1d(12, 6, 4, 2, groups=2)
        self.last = nn.Linear(6, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.words(tokens)
        x = x + self.attention(x)
        x = x + self.narrow(torch.relu(self.wide(x)))
        return self.last(torch.tanh(self.up(x.swapaxes(1, 2))).mean(-1))


def spread_out(model: nn.Module, mesh: DeviceMesh, placements: list) -> nn.Module:
    """Makes a DTensor of every parameter, with memory of its own; an axis that does not exist is replicated."""
    model = model.to_empty(device="cpu")
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            fitting = [p if not p.is_shard() or p.dim < parameter.dim() else Replicate() for p in placements]
            values = torch.full(parameter.shape, torch.nan, dtype=parameter.dtype)
            module.register_parameter(name, nn.Parameter(distribute_tensor(values, mesh, fitting)))
    return model


def by_fully_shard(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
    for layer in (model.attention, model.wide, model.narrow):
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh).to_empty(device="cpu")


def by_tensor_parallel(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
    parallelize_module(model, mesh, {"wide": ColwiseParallel(), "narrow": RowwiseParallel()})
    return model.to_empty(device="cpu")


def by_both(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
    parallelize_module(model, mesh["tensor"], {"wide": ColwiseParallel(), "narrow": RowwiseParallel()})
    return by_fully_shard(model, mesh["data"])


def build(case: str, processes: int) -> nn.Module:
    with torch.device("meta"):
        model = Model().bfloat16() if case == "bfloat16" else Model()
    if case == "fully_shard" or case == "bfloat16":
        return by_fully_shard(model, init_device_mesh("cpu", (processes,)))
    if case == "tensor parallel":
        return by_tensor_parallel(model, init_device_mesh("cpu", (processes,)))
    if case == "both":
        mesh = init_device_mesh("cpu", (processes // 2, 2), mesh_dim_names=("data", "tensor"))
        return by_both(model, mesh)
    placements = {
        "rows": [Shard(0)],
        "columns": [Shard(1)],
        "replicated": [Replicate()],
        "rows and columns": [Shard(0), Shard(1)],
        "rows twice": [Shard(0), Shard(0)],
        "replicated columns": [Replicate(), Shard(1)],
    }[case]
    sizes = (processes,) if len(placements) == 1 else (processes // 2, 2)
    return spread_out(model, init_device_mesh("cpu", sizes), placements)


def main() -> None:
    folder, rank, processes, *cases = sys.argv[1:]
    store = dist.FileStore(str(Path(folder) / "store"), int(processes))
    dist.init_process_group("gloo", store=store, rank=int(rank), world_size=int(processes))
    plan = loads((Path(folder) / "plan.json").read_text(encoding="utf-8"))
    for case in cases:
        model = build(case, int(processes))
        gs.apply(model, plan)
        expected = torch.load(Path(folder) / ("bfloat16.pt" if case == "bfloat16" else "float32.pt"))
        for name, parameter in model.named_parameters():
            whole = parameter.full_tensor() if hasattr(parameter, "full_tensor") else parameter
            assert torch.equal(whole.detach(), expected[name]), f"{case}: {name} differs in process {rank}"
    dist.destroy_process_group()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
