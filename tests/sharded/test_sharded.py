"""A plan made on one machine starts a sharded model: the gathered bytes are those of one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gainstage as gs
from sharded import worker

CASES = {
    1: ["fully_shard"],
    2: ["fully_shard", "bfloat16", "tensor parallel", "columns", "replicated"],
    4: ["fully_shard", "both", "rows and columns", "rows twice"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan with calibrated factors, and the weights that it gives to one process."""
    found = tmp_path_factory.mktemp("sharded")
    torch.manual_seed(0)
    model, tokens = worker.Model(), torch.randint(0, 9, (32, 10))
    plan = gs.initialize(model, "auto", x=tokens, seed=3)
    assert {"orthogonal", "normal"} & {a.scheme for a in plan}
    assert any(a.scale != 1 for a in plan)
    (found / "plan.json").write_text(gs.dumps(plan), encoding="utf-8")
    for dtype in (torch.float32, torch.bfloat16):
        whole = worker.Model().to(dtype)
        gs.apply(whole, plan)
        torch.save(dict(whole.named_parameters()), found / f"{str(dtype).removeprefix('torch.')}.pt")
    return found


@pytest.mark.parametrize("processes", CASES)
def test_gathered_bytes_are_those_of_one_process(folder: Path, processes: int) -> None:
    (folder / "store").unlink(missing_ok=True)
    command = [sys.executable, worker.__file__, str(folder)]
    started = [
        subprocess.Popen(
            [*command, str(rank), str(processes), *CASES[processes]],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        errors = [process.communicate(timeout=900)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    for process, error in zip(started, errors, strict=True):
        assert process.returncode == 0, error
