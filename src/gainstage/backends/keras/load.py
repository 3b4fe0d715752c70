"""Models of ``keras.applications`` by name, without weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gainstage.errors import LoadError, MissingPackageError, UnknownNameError

__all__ = ["LoadedModel", "load", "model_names"]


_ANY_SIZE = 224  # pixels, where a model takes images of every size


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that was found by name.

    Args:
        name: as it was asked for.
        model: built, with fresh weights.
        shape: of one example.
    """

    name: str
    model: Any
    shape: tuple[int, ...]


def load(name: str, *, seed: int | None = None) -> LoadedModel:
    """Build ``keras:ResNet50`` and its like; nothing is downloaded.

    Args:
        name: a model of ``keras.applications``, with or without the source ``keras:``.
        seed: of its weights; None leaves Keras's random states alone.

    Raises:
        MissingPackageError: Keras, or the backend it is set to, is not installed.
        UnknownNameError: there is no such model.
        LoadError: Keras cannot build it.

    >>> load("keras:MobileNetV2").shape
    (224, 224, 3)
    """
    keras = _keras()
    kind = name.removeprefix("keras:")
    if kind not in model_names():
        raise UnknownNameError("model", kind, model_names(), where="keras:")
    if seed is not None:
        keras.utils.set_random_seed(seed)
    try:
        model = getattr(keras.applications, kind)(weights=None)
    except Exception as error:  # whatever the installed Keras raises
        raise LoadError(f"Keras cannot build '{name}': {error}") from error
    return LoadedModel(name, model, tuple(_ANY_SIZE if size is None else size for size in model.input_shape[1:]))


def model_names() -> tuple[str, ...]:
    """The models of the installed ``keras.applications``, in alphabetical order."""
    applications = _keras().applications
    made = ((n, getattr(applications, n)) for n in dir(applications) if n[0].isupper())
    return tuple(sorted(n for n, build in made if callable(build)))


def _keras() -> Any:
    try:
        import keras
    except ImportError as missing:
        package = missing.name or "keras"
        what = "keras" if package == "keras" else f"the Keras backend '{package}' (set by KERAS_BACKEND)"
        raise MissingPackageError(package, f"A model of {what}") from missing
    return keras
