"""What a prediction costs: of ResNet-50 after its trace, and of a model of seventy billion weights without memory."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import resource
import time

import torch
import torchmodels
from _timing import row

import gainstage as gs
from gainstage.backends.load import load
from gainstage.backends.torch import trace
from gainstage.planning import plan
from gainstage.propagation import planned, predicted_profile

LLAMA = (
    "hf:llama,num_hidden_layers=80,hidden_size=8192,intermediate_size=28672,num_attention_heads=64,"
    "num_key_value_heads=8,vocab_size=128256"
)


def main() -> None:
    model, inputs = torchmodels.resnet50_on_meta()
    graph = trace(model, inputs)
    weights = planned(graph, plan(graph, "he_normal"))
    start = time.perf_counter()
    profile = predicted_profile(graph, weights)
    took = time.perf_counter() - start
    row(f"prediction of ResNet-50 after tracing, {len(profile.nodes)} operations", f"{took:.2f} s", "under 1 s")
    large = load(LLAMA, seed=0, memoryless=True).model
    count = sum(p.numel() for p in large.parameters()) / 1e9
    start = time.perf_counter()
    profile = gs.predict(large, torch.zeros(2, 128, dtype=torch.long), plan="auto")
    took = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    row(
        f"gs.predict of a Llama with {count:.1f} billion weights, trace and plan included",
        f"{took:.1f} s",
        "under 60 s",
    )
    row("peak memory of the whole process", f"{peak:.2f} GiB", "under 2 GiB")


if __name__ == "__main__":
    main()
