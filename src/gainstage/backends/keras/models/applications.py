"""Models of ``keras.applications`` by name, without weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from gainstage.backends.keras.models.inputs import known_inputs
from gainstage.data import InputSpec
from gainstage.errors import LoadError, UnknownNameError

__all__ = ["LoadedModel", "load", "model_names", "seed_all"]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that was found by name.

    Args:
        name: as it was asked for.
        model: built, with fresh weights.
        inputs: what it takes.
    """

    name: str
    model: Any
    inputs: tuple[InputSpec, ...] | None


def load(name: str, *, seed: int | None = None) -> LoadedModel:
    """Build ``keras:ResNet50`` and its like, or read a saved ``path/model.keras``; nothing is downloaded.

    Args:
        name: a model of ``keras.applications``, with or without the source ``keras:``, or the path of a file in
            Keras's own format, whose weights are taken as they were saved.
        seed: of its weights; None leaves Keras's random states alone.

    Raises:
        UnknownNameError: there is no such model.
        LoadError: Keras cannot build or read it.

    >>> load("keras:MobileNetV2").inputs
    (InputSpec(shape=(224, 224, 3), kind='values', name='', vocabulary=None),)
    """
    if name.endswith(".keras"):
        return _saved(name)
    kind = name.removeprefix("keras:")
    if kind not in model_names():
        raise UnknownNameError("model", kind, model_names(), where="keras:")
    if seed is not None:
        seed_all(seed)
    try:
        model = getattr(keras.applications, kind)(weights=None)
    except Exception as error:  # whatever the installed Keras raises
        raise LoadError(f"Keras cannot build '{name}': {error}") from error
    return LoadedModel(name, model, known_inputs(model))


def _saved(path: str) -> LoadedModel:
    if not Path(path).is_file():
        raise LoadError(f"There is no file '{path}' (the current directory is '{Path.cwd()}').")
    try:
        model = keras.models.load_model(path)
    except Exception as error:  # whatever is wrong with the file, or with layers that Keras does not know
        reason = str(error).strip().splitlines()[0]
        raise LoadError(
            f"Keras cannot read '{path}': {reason} A model with layers of your own is named by the code that makes it, "
            "path/file.py:attribute."
        ) from error
    return LoadedModel(path, model, known_inputs(model))


def seed_all(seed: int) -> None:
    """Start the random states of Keras, of its backend, of NumPy and of Python from a seed."""
    keras.utils.set_random_seed(seed % 2**32)


def model_names() -> tuple[str, ...]:
    """The models of the installed ``keras.applications``, in alphabetical order."""
    applications = keras.applications
    made = ((n, getattr(applications, n)) for n in dir(applications) if n[0].isupper())
    return tuple(sorted(n for n, build in made if callable(build)))
