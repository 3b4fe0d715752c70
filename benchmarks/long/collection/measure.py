"""Second moments over seeds: every seed draws weights and batch anew; what was measured is kept and gone on from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import gainstage as gs
from collection.case import Architecture
from gainstage.backends.torch import record
from gainstage.data import load

__all__ = ["Measured", "batch_of", "measure", "model_of"]


@dataclass(frozen=True, slots=True)
class Measured:
    """Second moments at the weighted operations of one architecture.

    Args:
        nodes: their indices in the graph.
        labels: their names.
        forward: of their outputs, shape (seeds, nodes).
        backward: of the gradients there, for random signs at the model's output; nan where none arrives.
    """

    nodes: np.ndarray
    labels: np.ndarray
    forward: np.ndarray
    backward: np.ndarray


def model_of(case: Architecture, seed: int, batch: Any) -> tuple[nn.Module, gs.Plan | None]:
    """A model whose weights are drawn from this seed, and the plan they follow."""
    torch.manual_seed(seed)
    model = case.build()
    if case.scheme is None:
        return model, None
    plan = gs.plan(model, case.scheme, x=batch, seed=seed)
    gs.apply(model, plan)
    return model, plan


def batch_of(case: Architecture, seed: int, *, real: bool = False) -> Any:
    """A batch of noise, or of real images."""
    torch.manual_seed(10_000 + seed)
    noise = case.batch()
    if not real or case.real is None:
        return noise
    pictures = _pictures(case.real)
    chosen = torch.randperm(len(pictures))[: len(noise)]
    return pictures[chosen].reshape(noise.shape).float()


@cache
def _pictures(name: str) -> torch.Tensor:
    return torch.as_tensor(load(name).x_train)


def measure(case: Architecture, seeds: int, folder: Path, *, real: bool = False) -> Measured:
    """Measure so many seeds, or read them if they were measured before."""
    file = folder / (re.sub(r"[^a-z0-9]+", "-", case.name.lower()) + ("-real" if real else "") + ".npz")
    found = _read(file)
    for seed in range(0 if found is None else len(found.forward), seeds):
        batch = batch_of(case, seed, real=real)
        profile = record(model_of(case, seed, batch)[0], batch, seed=seed)
        weighted = [one for one in profile.nodes if profile.node(one).operation.weighted and profile.node(one).uses]
        forward = np.array([[one.forward.second_moment for one in weighted]])
        backward = np.array([[one.backward.second_moment if one.backward else np.nan for one in weighted]])
        if found is not None:
            forward, backward = np.vstack((found.forward, forward)), np.vstack((found.backward, backward))
        nodes = np.array([one.node for one in weighted])
        found = Measured(nodes, np.array([profile.node(one).label for one in weighted]), forward, backward)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(file, nodes=found.nodes, labels=found.labels, forward=forward, backward=backward)
    assert found is not None
    return Measured(found.nodes, found.labels, found.forward[:seeds], found.backward[:seeds])


def _read(file: Path) -> Measured | None:
    if not file.exists():
        return None
    with np.load(file) as kept:
        return Measured(kept["nodes"], kept["labels"], kept["forward"], kept["backward"])
