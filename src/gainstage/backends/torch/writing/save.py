"""Write a model's weights to a file."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import torch
from torch import nn

from gainstage.errors import InputError, MissingPackageError

__all__ = ["save_weights", "usable_path"]

_SUFFIXES = (".safetensors", ".pt", ".pth")


def usable_path(path: str | os.PathLike[str]) -> Path:
    """The path, if weights could be written there; to be asked before any long work.

    Raises:
        InputError: unknown suffix, or no such directory.
        MissingPackageError: the format's package is not installed.

    >>> usable_path("weights.pt").name
    'weights.pt'
    """
    file = Path(path)
    if file.suffix not in _SUFFIXES:
        raise InputError(f"Weights are written to a file ending in {', '.join(_SUFFIXES)}; received '{file}'.")
    if not file.parent.is_dir() or file.is_dir():
        raise InputError(f"'{file}' cannot be written: there is no directory '{file.parent}', or it is itself one.")
    if file.suffix == ".safetensors":
        try:
            import safetensors.torch  # noqa: F401
        except ImportError as missing:
            raise MissingPackageError("safetensors", f"Writing '{file}'") from missing
    return file


def save_weights(model: nn.Module, path: str | os.PathLike[str]) -> Path:
    """Write all parameters and buffers: safetensors (a tied weight once), or ``torch.save`` of the state dict.

    Raises:
        InputError: the file cannot be written.
        MissingPackageError: the format's package is not installed.
    """
    file = usable_path(path)
    beside = file.with_name(f".gainstage-{secrets.token_hex(6)}.tmp")  # under the final name stands old or new, whole
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import save_model

            save_model(model, str(beside), metadata={"producer": "gainstage"})
        else:
            torch.save(model.state_dict(), beside)
        beside.replace(file)
    except OSError as error:
        raise InputError(f"'{file}' cannot be written: {error.strerror or error}.") from error
    except RuntimeError as error:  # torch.save's own writer, for want of room
        raise InputError(f"'{file}' cannot be written: {str(error).splitlines()[0]}") from error
    finally:
        beside.unlink(missing_ok=True)
    return file
