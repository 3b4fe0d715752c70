"""Data-parallel training on two processes: the same bytes with and without a watch, and what is local is named so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

import gainstage as gs
from watching.two_processes import COUNT, STEPS, X, Y, network

WORKER = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> list[dict]:
    """What each process has saved."""
    folder = tmp_path_factory.mktemp("processes")
    done = subprocess.run(
        [sys.executable, str(WORKER), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in range(COUNT)]


def test_weights_are_the_same_bytes_with_and_without_a_watch(trained):
    for found in trained:
        for one, other in zip(found["plain"].values(), found["watched"].values(), strict=True):
            assert one.numpy().tobytes() == other.numpy().tobytes()


def test_what_is_local_is_said_to_be_local(trained):
    histories = [gs.loads(found["history"], gs.History) for found in trained]
    for rank, history in enumerate(histories):
        (note,) = history.notes
        assert note.startswith(f"Process {rank} of {COUNT}: losses and layers are local")
        assert [step.step for step in history.steps] == list(range(1, STEPS + 1))
        assert history.start is not None
        assert all(look.layers and look.examples == len(X) // COUNT for look in history.looks)
    one, other = ([step.loss for step in history.steps] for history in histories)
    assert one != other


def test_gradients_are_those_of_all_processes(trained):
    histories = [gs.loads(found["history"], gs.History) for found in trained]
    one, other = ([step.gradient for step in history.steps] for history in histories)
    assert one == pytest.approx(other, rel=1e-6)
    model = network()
    for rank in range(COUNT):  # batch normalisation has the statistics of each part, hence two passes
        (F.cross_entropy(model(X[rank::COUNT]), Y[rank::COUNT]) / COUNT).backward()
    whole = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert one[0] == pytest.approx(float(whole), rel=1e-5)


def test_each_process_writes_a_file_of_its_own(trained):
    paths = {found["path"] for found in trained}
    assert {Path(path).name for path in paths} == {"history.jsonl", "history-2.jsonl"}
    assert all(len(gs.load(path).steps) == STEPS for path in paths)
