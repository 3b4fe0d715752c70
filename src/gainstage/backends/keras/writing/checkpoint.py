"""Refuses to write a Keras model's weights without the model's memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gainstage.errors import InputError
from gainstage.records import Plan

__all__ = ["write_checkpoint"]


def write_checkpoint(
    model: Any,  # noqa: ARG001
    plan: Plan,  # noqa: ARG001
    out: str | os.PathLike[str],
    *,
    dtype: Any = None,  # noqa: ARG001
    values: Mapping[str, Any] | None = None,  # noqa: ARG001
    max_shard_size: int | str = "5GB",  # noqa: ARG001
    on_progress: Callable[[str, int, int], None] | None = None,  # noqa: ARG001
) -> tuple[Path, ...]:
    """Refuse: a Keras model is built with memory for its weights, and has a format of its own.

    Raises:
        InputError: always.
    """
    raise InputError(
        f"'{os.fspath(out)}' is written for PyTorch models, from the meta device; a Keras model has its weights in "
        "memory. Call gs.apply(model, plan) and model.save_weights('net.weights.h5')."
    )
