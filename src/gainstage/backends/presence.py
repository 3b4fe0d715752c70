"""Keras is there, with a backend, and starts without a word."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator

from gainstage.errors import LoadError, MissingPackageError

__all__ = ["is_installed", "require_keras", "require_torch"]


def is_installed(package: str) -> bool:
    """Report whether a package can be imported, without importing it."""
    if package in sys.modules:
        return sys.modules[package] is not None
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def require_torch(needed_for: str) -> None:
    """Say how PyTorch is installed where it is not; nothing is imported.

    Args:
        needed_for: what it is needed for, in words.

    Raises:
        MissingPackageError: PyTorch is not installed.
    """
    if not is_installed("torch"):
        raise MissingPackageError("torch", needed_for, "'gainstage[torch]'")


def require_keras(needed_for: str) -> None:
    """Import Keras, which imports the backend it is set to.

    Args:
        needed_for: what it is needed for, in words.

    Raises:
        MissingPackageError: Keras, or the backend it is set to, is not installed.
        LoadError: it is set to a backend that it does not have, or one that is broken.
    """
    if "keras" in sys.modules:
        return
    try:
        with _quiet_start():
            importlib.import_module("keras")
    except ImportError as missing:
        package = missing.name or "keras"
        if package == "keras":
            raise MissingPackageError("keras", needed_for, "'gainstage[keras]'") from missing
        chosen = f"the Keras backend '{package}' (set by KERAS_BACKEND or in ~/.keras/keras.json)"
        raise MissingPackageError(package, f"{needed_for} on {chosen}") from missing
    except Exception as broken:  # whatever a backend raises that does not fit
        raise LoadError(
            f"Keras cannot be imported: {broken}. Set KERAS_BACKEND to tensorflow, jax or torch, whichever is "
            "installed."
        ) from broken


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """TensorFlow's compiled parts tell the terminal about the machine when they start, whatever they are told."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error to be quiet on
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
