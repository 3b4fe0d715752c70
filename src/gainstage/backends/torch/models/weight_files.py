"""Read a file of weights into a model, without running any code that the file may hold."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gainstage.errors import InputError, MissingPackageError

__all__ = ["load_weights"]

_NESTED = ("state_dict", "model_state_dict", "model", "module", "net")
"""Where checkpoints keep the weights beside the state of a training."""

_PREFIXES = ("module.", "_orig_mod.", "model.")
"""What wrappers (data parallel, compiled, trainers) put before every name."""

State = dict[str, torch.Tensor]


def load_weights(model: nn.Module, path: Path) -> None:
    """Load ``.safetensors``, ``.pt`` or ``.pth`` in place.

    Args:
        model: of the architecture that the file was written for.
        path: of the file; a checkpoint may hold the state dict under a name such as ``state_dict``.

    Raises:
        InputError: the file cannot be read, holds more than tensors, or does not fit the model.
        MissingPackageError: the format's package is not installed.
    """
    if not path.is_file():
        raise InputError(f"There is no file of weights '{path}'.")
    state = _safetensors(path) if path.suffix == ".safetensors" else _checkpoint(path)
    fitting = _without_prefix(state, model.state_dict())
    try:
        missing, unexpected = model.load_state_dict(fitting, strict=False)
    except RuntimeError as error:
        reason = [line.strip() for line in str(error).splitlines()[1:2]] or [str(error)]
        raise InputError(f"'{path}' does not fit '{type(model).__name__}': {reason[0]}") from error
    missing = [name for name in missing if not _is_shared(name, model, fitting)]
    if missing or unexpected:
        words = [f"{len(found)} {kind}, first '{found[0]}'" for kind, found in
                 (("missing", missing), ("unexpected", unexpected)) if found]  # fmt: skip
        raise InputError(f"'{path}' does not fit '{type(model).__name__}': {' and '.join(words)}.")


def _safetensors(path: Path) -> State:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as missing:
        raise MissingPackageError("safetensors", f"Reading '{path}'") from missing
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"'{path}' cannot be read as safetensors: {error}") from error


def _checkpoint(path: Path) -> State:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whatever is odd about the file is an error here, or does not matter
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"'{path}' holds more than tensors and plain containers, and is not opened, since that could run code. "
            "Save the weights alone: torch.save(model.state_dict(), path)."
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"'{path}' cannot be read as a file of PyTorch: {str(error).splitlines()[0]:.200}") from error
    for name in _NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
            break
    tensors = {str(k): v for k, v in found.items() if isinstance(v, torch.Tensor)} if isinstance(found, Mapping) else {}
    if not tensors:
        raise InputError(f"'{path}' holds no state dict: received a {type(found).__name__}.")
    return tensors


def _without_prefix(state: State, wanted: Mapping[str, Any]) -> State:
    """Names as the model has them, where a wrapper put one prefix before all of them."""
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state) and not set(state) & set(wanted):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _is_shared(name: str, model: nn.Module, state: State) -> bool:
    """Report whether a tensor missing from the file is tied to one in the file."""
    held = dict((*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)))
    return name in held and any(held.get(other) is held[name] for other in state)
