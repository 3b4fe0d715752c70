"""Write the weights of a plan to files without holding the model in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gainstage.backends import backend_of
from gainstage.records import Plan

__all__ = ["materialize"]


def materialize(
    model: Any,
    plan: Plan,
    out: str | os.PathLike[str],
    *,
    dtype: Any = None,
    values: Mapping[str, Any] | None = None,
    max_shard_size: int | str = "5GB",
    on_progress: Callable[[str, int, int], None] | None = None,
) -> tuple[Path, ...]:
    """Write the weights of a plan to safetensors files, piece by piece; the model stays on the meta device.

    The bytes are those that ``apply`` writes into a model of the same number formats. Files grow in a hidden folder
    (``.model.unfinished`` beside ``model.safetensors``) and take their names when all are complete. After a crash, or
    ``kill -9``, the same call goes on where the data were last forced to the disk.

    Args:
        model: a PyTorch module on the meta device. One with memory will do; what its plan keeps is then copied.
        plan: made for it, by ``gs.plan(model, …)`` on the meta device, or calibrated elsewhere and loaded.
        out: a path ending in ``.safetensors``, or a folder that exists, which gets ``model.safetensors``. Above
            ``max_shard_size`` several files with an index, as Hugging Face names them, stand beside each other. A model
            with a ``config`` also gets ``config.json``, so that ``from_pretrained(folder)`` loads it.
        dtype: number format of the weights, ``"bfloat16"`` or ``{"*norm*": "float32"}`` by pattern of their names; as
            the model says where not given. Buffers keep theirs.
        values: tensors by name, for parameters that the plan keeps and for buffers. Without them a parameter or buffer
            on the meta device holds what the model's own code gives it (``_init_weights``, ``reset_parameters``).
        max_shard_size: the size of one file, in bytes or in words such as ``"5GB"``.
        on_progress: called with the name of a tensor, the bytes done and all bytes.

    Returns:
        the paths of the files, the one that a reader opens first as the last.

    Raises:
        InputError: the plan does not fit; nothing says what a buffer holds; a file of that name exists; the disk is
            too small or full; another process writes the same files; a Keras model.
        UnknownNameError: the plan, ``values`` or ``dtype`` name something that does not exist.
        ModelError: a lazy layer has no shape yet.

    >>> import tempfile, torch
    >>> import gainstage as gs
    >>> from safetensors.torch import load_file
    >>> with torch.device("meta"):
    ...     net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.Tanh(), torch.nn.Linear(128, 10))
    >>> plan = gs.plan(net, "he_normal", seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = gs.materialize(net, plan, out=f"{folder}/model.safetensors", dtype="bfloat16")
    ...     weights = load_file(files[-1])
    >>> weights["0.weight"].shape, weights["0.weight"].dtype
    (torch.Size([128, 64]), torch.bfloat16)
    """
    return backend_of(model).write_checkpoint(
        model, plan, out, dtype=dtype, values=values, max_shard_size=max_shard_size, on_progress=on_progress
    )
