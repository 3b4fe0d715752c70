"""The two starts that are compared, and fingerprints of what they write."""

from __future__ import annotations

import hashlib
import inspect
from typing import Any

import numpy as np

import gainstage as gs
from starts_exam.case import Case, Data, arguments

__all__ = ["AUTHOR", "AUTO", "STARTS", "batch_for", "fingerprint", "restore", "start", "weights"]

AUTHOR, AUTO = "author", "auto"
STARTS = (AUTHOR, AUTO)

FEWEST = 64
"""``auto`` calibrates on one training batch, and on at least this many examples."""


def start(case: Case, name: str, data: Data, seed: int) -> Any:
    """Build a network, and start it as its authors do or by ``gs.initialize(network, x=batch)``."""
    model = case.model(seed)
    if name == AUTO:
        x = batch_for(case, data)
        given = "x" if "x" in inspect.signature(gs.initialize).parameters else "batch"
        for network, inputs in case.parts(model, x) if case.parts else [(model, x)]:
            gs.initialize(network, seed=seed, **{given: inputs})
    return model


def batch_for(case: Case, data: Data) -> Any:
    """Return the batch of training inputs that a start may see."""
    if case.batch is None:
        return data.x
    count = max(case.batch, FEWEST)
    chosen = tuple(part[:count] for part in arguments(data.x))
    return chosen if isinstance(data.x, tuple) else chosen[0]


def weights(case: Case, model: Any) -> Any:
    """Copy all weights and buffers."""
    if case.framework == "keras":
        return model.get_weights()
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def restore(case: Case, model: Any, kept: Any) -> None:
    """Write weights and buffers back, and forget gradients."""
    if case.framework == "keras":
        model.set_weights(kept)
        return
    model.load_state_dict(kept)
    model.zero_grad(set_to_none=True)


def fingerprint(kept: Any) -> str:
    """Hash weights and buffers."""
    digest = hashlib.sha256()
    for value in kept if isinstance(kept, list) else kept.values():
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()[:16]
