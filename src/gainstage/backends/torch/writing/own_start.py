"""Values that a model's own code gives to parameters and buffers, one module at a time.

A plan keeps what has a meaning of its own (a table of positions, running statistics). On the meta device it has no
values; the model's initialization can compute them without the rest of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.backends.torch.models.random_states import random_state
from gainstage.streams import Stream

__all__ = ["own_values"]

_FILLS = (0, 1)  # what the code has not written differs between two runs


def own_values(model: nn.Module, name: str, seed: int) -> Tensor | None:
    """The value that the model's own initialization gives to one of its parameters or buffers, on the CPU.

    Asked, in this order: ``_init_weights`` of the nearest module around it that has one (Hugging Face's convention),
    and the module's own ``reset_parameters`` and ``reset_running_stats`` (PyTorch's).

    Args:
        model: also on the meta device.
        name: of the parameter or buffer.
        seed: of the random numbers, which are PyTorch's; they depend on the module's path too, and on nothing else.

    Returns:
        None where none of these writes it.

    >>> with torch.device("meta"):
    ...     norm = nn.BatchNorm1d(2)
    >>> own_values(norm, "running_var", seed=0)
    tensor([1., 1.])
    """
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    if leaf not in module._parameters and leaf not in module._buffers:
        return None  # a module that names its state in its own way
    for initialize in _initializers(model, path):
        runs = [_run(initialize, module, Stream(seed, path).words(1)[0].item(), fill) for fill in _FILLS]
        found: list[Tensor] = [getattr(run, leaf).detach() for run in runs if run is not None]
        if len(found) == len(_FILLS) and torch.equal(*found):
            return found[0]
    return None


def _initializers(model: nn.Module, path: str) -> Iterator[Callable[[Any], object]]:
    parts = path.split(".") if path else []
    around = [model.get_submodule(".".join(parts[:depth])) for depth in range(len(parts), -1, -1)]
    whole: Any = next((module for module in around if hasattr(module, "_init_weights")), None)
    if whole is not None:
        yield whole._init_weights
    yield lambda module: module.reset_parameters()
    yield lambda module: module.reset_running_stats()


def _run(initialize: Callable[[Any], object], module: nn.Module, seed: int, fill: int) -> nn.Module | None:
    """A copy of a module with memory for what it holds itself, initialized; None where that raises."""
    made = copy.copy(module)
    made.__dict__["_parameters"] = {
        name: None if p is None else nn.Parameter(torch.full_like(p, fill, device="cpu"), p.requires_grad)
        for name, p in module._parameters.items()
    }
    made.__dict__["_buffers"] = {
        name: None if b is None else torch.full_like(b, fill, device="cpu") for name, b in module._buffers.items()
    }
    try:
        with random_state(seed), torch.no_grad():
            initialize(made)
    except Exception:  # the module's own code, which may need more than it has here
        return None
    return made
