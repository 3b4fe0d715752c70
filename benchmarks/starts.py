"""Starts of a GPT-2, a Llama and a ResNet: against the library's own initialization and Keras, in seconds and memory.

    python benchmarks/starts.py                # the table of docs/drawing.md
    python benchmarks/starts.py --size 7b      # a Llama of 6.7 billion weights to a file, bfloat16; needs 14 GB of disk

Every start is a process of its own. Seconds are processor time of making and starting the model; the peak of memory is
what it adds to the imports. "Keras" draws weights of the same shapes by the initializers of its own layers (Glorot's
uniform for kernels, uniform for tables), since Keras has no such models.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _timing import row

STARTS = ("from_config", "gainstage", "gainstage to a file", "Keras")
MODELS = ("GPT-2", "GPT-2 large", "Llama", "ResNet")


def config_of(name: str) -> Any:
    """A configuration, small enough to be quick."""
    import transformers as hf

    if name == "GPT-2":  # 124 million weights
        return hf.GPT2Config(bos_token_id=0, eos_token_id=0, use_cache=False)
    if name == "GPT-2 large":  # 774 million weights
        return hf.GPT2Config(n_embd=1280, n_layer=36, n_head=20, bos_token_id=0, eos_token_id=0, use_cache=False)
    if name == "Llama":  # 134 million weights
        return hf.LlamaConfig(
            hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12, use_cache=False
        )
    if name == "7b":
        return hf.LlamaConfig(use_cache=False, dtype="bfloat16")
    return hf.ResNetConfig(num_labels=1000)  # ResNet-50, 26 million weights


def class_of(name: str) -> Any:
    import transformers as hf

    if name.startswith("GPT-2"):
        return hf.GPT2LMHeadModel
    return hf.ResNetForImageClassification if name == "ResNet" else hf.LlamaForCausalLM


def on_meta(name: str) -> tuple[Any, Any]:
    """A model without memory, and a batch of it."""
    import torch

    config = config_of(name)
    with torch.device("meta"):
        model = class_of(name)(config)
    if name == "7b":
        model = model.to(torch.bfloat16)
    if name == "ResNet":
        return model, {"pixel_values": torch.zeros(2, 3, 224, 224, device="meta")}
    return model, {"input_ids": torch.zeros(2, 64, dtype=torch.long, device="meta")}


def peak() -> float:
    """Megabytes of memory that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def begin(start: str, name: str, folder: str) -> None:
    """Makes and starts one model."""
    if start == "from_config":
        class_of(name)(config_of(name))
        return
    import gainstage as gs

    model, inputs = on_meta(name)
    if start == "Keras":
        keras_draws([tuple(p.shape) for p in model.parameters()])
        return
    plan = gs.plan(model, "auto", x=inputs)
    if start == "gainstage":
        model.to_empty(device="cpu")
        gs.apply(model, plan)
    else:
        gs.materialize(model, plan, folder)


def keras_draws(shapes: list[tuple[int, ...]]) -> None:
    """Arrays of these shapes, drawn by Keras and held all at once, as a model would."""
    import keras

    kernel, table = keras.initializers.GlorotUniform(0), keras.initializers.RandomUniform(-0.05, 0.05, 0)
    held = [(table if shape[0] > 30_000 else kernel)(shape) if len(shape) > 1 else None for shape in shapes]
    keras.ops.convert_to_numpy(next(values for values in reversed(held) if values is not None))


def one(start: str, name: str) -> None:
    """In a process of its own: seconds, and megabytes beyond the imports."""
    import torch  # noqa: F401

    if start == "Keras":
        import keras  # noqa: F401
    class_of(name)
    import gainstage.backends.torch
    import gainstage.workflows  # noqa: F401

    with tempfile.TemporaryDirectory(dir=os.environ.get("STARTS_FOLDER")) as folder:
        before, clock, wall = peak(), time.process_time(), time.perf_counter()
        begin(start, name, folder)
        seconds, elapsed, memory = time.process_time() - clock, time.perf_counter() - wall, peak() - before
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    print(json.dumps({"seconds": seconds, "elapsed": elapsed, "memory": memory, "file": size / 1e9}))


def measured(start: str, name: str) -> dict[str, float]:
    out = subprocess.run(
        [sys.executable, __file__, "--one", start, name], env=os.environ | {"KERAS_BACKEND": "torch"}, check=True,
        stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    return json.loads(out.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("small", "7b"), default="small")
    parser.add_argument("--one", nargs=2, metavar=("START", "MODEL"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        one(*asked.one)
        return
    if asked.size == "7b":
        found = measured("gainstage to a file", "7b")
        told = f"{found['seconds']:.0f} s of processor, {found['elapsed']:.0f} s elapsed"
        row(f"Llama, 6.7 billion weights, {found['file']:.1f} GB: {told}", f"{found['memory']:.0f} MB", "< 1000 MB")
        return
    for name in MODELS:
        for start in STARTS:
            found = measured(start, name)
            row(f"{name}: {start}", f"{found['seconds']:.1f} s, {found['memory']:.0f} MB", "")


if __name__ == "__main__":
    main()
