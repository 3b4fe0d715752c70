"""Writing the weights of a Keras model in Keras's own formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gainstage.errors import InputError

__all__ = ["load_weights", "save_weights", "usable_path"]

_FORMATS = (".weights.h5", ".keras")


def usable_path(path: Path) -> None:
    """Refuse a file that could not be written, before anything is computed.

    Raises:
        InputError: the ending is unknown, or the directory is not there.
    """
    if not path.name.endswith(_FORMATS):
        raise InputError(f"Cannot write '{path}': give a Keras model's file the ending .weights.h5 or .keras.")
    if not path.resolve().parent.is_dir():
        raise InputError(f"Cannot write '{path}': the directory '{path.resolve().parent}' does not exist.")


def load_weights(model: Any, path: Path) -> None:
    """Read ``.weights.h5`` into a model.

    Raises:
        InputError: the file is of another format, cannot be read, or does not fit the model.
    """
    if not path.name.endswith(".weights.h5"):
        raise InputError(f"Weights of a Keras model are read from .weights.h5; received '{path}'.")
    if not path.is_file():
        raise InputError(f"There is no file of weights '{path}'.")
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"'{path}' does not fit the model: {str(error).splitlines()[0]}") from error


def save_weights(model: Any, path: Path) -> Path:
    """Write the weights (``.weights.h5``) or the whole model (``.keras``).

    Raises:
        InputError: the file cannot be written.
    """
    usable_path(path)
    try:
        if path.name.endswith(".keras"):
            model.save(path)
        else:
            model.save_weights(path)
    except OSError as error:
        raise InputError(f"Cannot write '{path}': {error}.") from error
    return path
