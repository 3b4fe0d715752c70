"""The framework of a model is found without importing the others."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any, Literal, cast

from gainstage.backends.presence import is_installed, require_keras, require_torch
from gainstage.backends.protocol.backend import Backend
from gainstage.backends.protocol.trainer import Trainer
from gainstage.backends.protocol.watching import Watcher
from gainstage.backends.protocol.workbench import LessonWorkbench, Workbench
from gainstage.errors import InputError, MissingPackageError

__all__ = ["Framework", "backend_of", "framework_of", "lesson_workbench", "trainer_of", "watcher_of", "workbench_of"]

Framework = Literal["keras", "torch"]

_ROOTS: Mapping[Framework, tuple[str, str]] = {"keras": ("keras", "layers.Layer"), "torch": ("torch.nn", "Module")}
"""On PyTorch a Keras layer is a module too, so Keras comes first."""


def backend_of(model: Any) -> Backend:
    """Find the backend of a model's framework; only a framework that is imported already can have made the model.

    Raises:
        InputError: the object is no model of a known framework.
    """
    framework = framework_of(model)
    if framework is not None:
        return cast(Backend, importlib.import_module(f"gainstage.backends.{framework}"))
    if not (is_installed("torch") or is_installed("keras")):
        raise MissingPackageError("torch", "A model of PyTorch", "'gainstage[torch]' (or 'gainstage[keras]')")
    received = f"the class {model.__name__}" if isinstance(model, type) else f"an object of type {type(model).__name__}"
    raise InputError(
        f"Expected a model (a torch.nn.Module or a Keras model), received {received}. Build the model and pass the "
        "object."
    )


def trainer_of(framework: Framework) -> Trainer:
    """The module that trains models of a framework.

    Raises:
        MissingPackageError: the framework is not installed.
    """
    require_framework(framework, "A comparison of trainings")
    return cast(Trainer, importlib.import_module(f"gainstage.backends.{framework}.training.trainer"))


def watcher_of(model: Any) -> Watcher:
    """The module that watches trainings of a model's framework.

    Raises:
        InputError: the object is no model of a known framework.
    """
    backend_of(model)
    return cast(Watcher, importlib.import_module(f"gainstage.backends.{framework_of(model)}.watching"))


def workbench_of(framework: Framework, needed_for: str = "The model") -> Workbench:
    """The workbench of a framework, which is imported now.

    Args:
        framework: whose models are worked on.
        needed_for: the message of an error names it.

    Raises:
        MissingPackageError: the framework, or the backend that Keras is set to, is not installed.
        LoadError: Keras cannot be imported.
    """
    require_framework(framework, needed_for)
    return cast(Workbench, importlib.import_module(f"gainstage.backends.{framework}.workbench"))


def require_framework(framework: Framework, needed_for: str) -> None:
    """Say how a framework is installed where it is not.

    Raises:
        MissingPackageError: it is not installed.
    """
    require_keras(needed_for) if framework == "keras" else require_torch(needed_for)


def lesson_workbench() -> LessonWorkbench:
    """The workbench of PyTorch, on which the lessons experiment."""
    return cast(LessonWorkbench, workbench_of("torch", "Experiments on networks"))


def framework_of(model: Any) -> Framework | None:
    """The framework that made an object; None where the object is no model.

    Raises:
        InputError: a model of Keras 2.

    >>> framework_of("a name") is None
    True
    """
    _refuse_legacy(model)
    inner = getattr(model, "_orig_mod", model)
    for framework, (module, name) in _ROOTS.items():
        root: Any = sys.modules.get(module)
        for part in name.split("."):
            root = getattr(root, part, None)
        if root is not None and isinstance(inner, root):
            return framework
    return None


def _refuse_legacy(model: Any) -> None:
    """Keras 2, as the package ``tf_keras`` or as TensorFlow's own up to 2.15, is another framework."""
    origins = {kind.__module__ for kind in type(model).__mro__}
    keras = sys.modules.get("keras")
    old = keras is not None and str(getattr(keras, "__version__", "3")).startswith("2.")
    if any(o.split(".")[0] == "tf_keras" for o in origins) or (old and any(o.startswith("keras.") for o in origins)):
        raise InputError(
            f"'{type(model).__name__}' is a model of Keras 2 (tf_keras), and gainstage reads Keras 3. Build it with "
            "`import keras` of version 3 (pip install -U keras; unset TF_USE_LEGACY_KERAS)."
        )
